"""The raw kernels on NumPy arrays: ndarray in, ndarray out, no tape. One file a family.

What goes in is never changed; float32 stays float32; read-only and strided arrays are fine.
"""

from dlcore.kernels.attention import *  # noqa: F403
from dlcore.kernels.conv import *  # noqa: F403
from dlcore.kernels.ctc import *  # noqa: F403
from dlcore.kernels.dropout import *  # noqa: F403
from dlcore.kernels.elementwise import *  # noqa: F403
from dlcore.kernels.embedding import *  # noqa: F403
from dlcore.kernels.index import *  # noqa: F403
from dlcore.kernels.loss import *  # noqa: F403
from dlcore.kernels.matmul import *  # noqa: F403
from dlcore.kernels.norm import *  # noqa: F403
from dlcore.kernels.optim import *  # noqa: F403
from dlcore.kernels.peak import *  # noqa: F403
from dlcore.kernels.pool import *  # noqa: F403
from dlcore.kernels.quant import *  # noqa: F403
from dlcore.kernels.reduce import *  # noqa: F403
from dlcore.kernels.resample import *  # noqa: F403
from dlcore.kernels.rnn import *  # noqa: F403
from dlcore.kernels.softmax import *  # noqa: F403
from dlcore.kernels.sort import *  # noqa: F403
