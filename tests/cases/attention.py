"""Cases of the attention family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
