"""Cases of the rnn family."""

from tests.cases import OpCase

CASES: list[OpCase] = []
