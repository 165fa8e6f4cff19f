"""Cases of the sort family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
