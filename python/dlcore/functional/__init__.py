"""Differentiable functions under torch's names: an op and its backward, one file a family.

Importing this package binds it to `dlcore.tensor`, whose methods call it.
"""

from __future__ import annotations

import sys

from dlcore import tensor as _tensor
from dlcore.functional.matmul import *  # noqa: F403

_tensor._F = sys.modules[__name__]
