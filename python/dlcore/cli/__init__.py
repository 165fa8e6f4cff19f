"""The command line: `dlcore info | demo | bench | generate | train | convert`, also as `python -m dlcore`.

Exit status 0 (done), 1 (failed, one line on standard error), 2 (wrong usage), 130 (interrupted). A command is
a module here with `add_arguments(parser)` and `run(arguments)`, its docstring the help; it imports what it
needs when it runs. Set DLCORE_TRACEBACK=1 to see where an error comes from.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence

__all__ = ["main"]

COMMANDS = {
    "info": "what dlcore runs on: version, instruction set, threads, CUDA, compiler, NumPy",
    "demo": "train the first CNN on embedded data, show what it predicts, and time the kernels",
    "bench": "every kernel beside NumPy and the machine's limits",
    "generate": "continue a text, or answer it, with a language model",
    "train": "train a model on images or text from a TOML file or flags, and go on with it later",
    "convert": "write a checkpoint as safetensors, in one file or in shards",
}


def _parser() -> argparse.ArgumentParser:
    from dlcore._C import __version__

    parser = argparse.ArgumentParser(
        prog="dlcore",
        description="Deep learning on hand-written C++ and CUDA kernels.",
        epilog="dlcore COMMAND --help explains a command and gives examples.",
    )
    parser.add_argument("--version", action="version", version=f"dlcore {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"dlcore.cli.{name}")
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    >>> main(["info", "--frob"])
    2
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as e:  # argparse has printed why
        return e.code if isinstance(e.code, int) else 2
    command = importlib.import_module(f"dlcore.cli.{arguments.command}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(
                f"dlcore {arguments.command}: warning: {message}", file=sys.stderr
            )
            status: int = command.run(arguments)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        print(f"\ndlcore {arguments.command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `dlcore bench | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as e:
        if os.environ.get("DLCORE_TRACEBACK"):
            raise
        text = " ".join(str(e).split()) or type(e).__name__
        print(f"dlcore {arguments.command}: {text}", file=sys.stderr)
        return 1
