"""Differentiable functions under torch's names: an op and its backward, one file a family.

Importing this package binds it to `dlcore.tensor`, whose methods call it.
"""

from __future__ import annotations

import sys

from dlcore.functional.activation import *  # noqa: F403
from dlcore.functional.attention import *  # noqa: F403
from dlcore.functional.conv import *  # noqa: F403
from dlcore.functional.ctc import *  # noqa: F403
from dlcore.functional.distance import *  # noqa: F403
from dlcore.functional.dropout import *  # noqa: F403
from dlcore.functional.einsum import *  # noqa: F403
from dlcore.functional.elementwise import *  # noqa: F403
from dlcore.functional.embedding import *  # noqa: F403
from dlcore.functional.fold import *  # noqa: F403
from dlcore.functional.index import *  # noqa: F403
from dlcore.functional.loss import *  # noqa: F403
from dlcore.functional.margin import *  # noqa: F403
from dlcore.functional.matmul import *  # noqa: F403
from dlcore.functional.multihead import *  # noqa: F403
from dlcore.functional.norm import *  # noqa: F403
from dlcore.functional.pad import *  # noqa: F403
from dlcore.functional.pool import *  # noqa: F403
from dlcore.functional.reduce import *  # noqa: F403
from dlcore.functional.resample import *  # noqa: F403
from dlcore.functional.rnn import *  # noqa: F403
from dlcore.functional.shape import *  # noqa: F403
from dlcore.functional.shape import axis as axis
from dlcore.functional.softmax import *  # noqa: F403
from dlcore.functional.sort import *  # noqa: F403
from dlcore.tensor import bind_functional as _bind

_bind(sys.modules[__name__])
