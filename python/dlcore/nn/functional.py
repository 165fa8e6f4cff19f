"""dlcore.functional under the name that torch gives it: `import dlcore.nn.functional as F`."""

from dlcore.functional import *  # noqa: F403
