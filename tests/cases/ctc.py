"""Cases of the ctc family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
