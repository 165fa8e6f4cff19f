"""Layers with torch's names, arguments, state dicts and defaults.

>>> from dlcore import nn
>>> nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
Sequential(
  (0): Flatten(start_dim=1, end_dim=-1)
  (1): Linear(in_features=4, out_features=2, bias=True)
)
"""

from __future__ import annotations

from dlcore.nn import functional as functional
from dlcore.nn import init as init
from dlcore.nn import utils as utils
from dlcore.nn.activation import *  # noqa: F403
from dlcore.nn.adaptive import *  # noqa: F403
from dlcore.nn.attention import *  # noqa: F403
from dlcore.nn.container import *  # noqa: F403
from dlcore.nn.conv import *  # noqa: F403
from dlcore.nn.distance import *  # noqa: F403
from dlcore.nn.dropout import *  # noqa: F403
from dlcore.nn.embedding import *  # noqa: F403
from dlcore.nn.linear import *  # noqa: F403
from dlcore.nn.loss import *  # noqa: F403
from dlcore.nn.module import *  # noqa: F403
from dlcore.nn.norm import *  # noqa: F403
from dlcore.nn.pad import *  # noqa: F403
from dlcore.nn.pool import *  # noqa: F403
from dlcore.nn.resample import *  # noqa: F403
from dlcore.nn.rnn import *  # noqa: F403
from dlcore.nn.transformer import *  # noqa: F403
