"""Cases of the embedding family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
