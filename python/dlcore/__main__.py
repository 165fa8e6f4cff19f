"""python -m dlcore: the command line."""

import sys

from dlcore.cli import main

sys.exit(main())
