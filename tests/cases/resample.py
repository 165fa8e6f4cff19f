"""Cases of the resample family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
