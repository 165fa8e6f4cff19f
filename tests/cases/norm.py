"""Cases of the norm family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
