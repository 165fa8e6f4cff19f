"""Downloads with a checksum and a progress bar into the user's cache.

A file appears under its name only when it is whole and its SHA-256 is right: it is written under a temporary
name in the same folder, then moved with os.replace.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["cache_dir", "download"]

_TIMEOUT = 30.0  # seconds without a byte


def cache_dir(name: str) -> Path:
    """$XDG_CACHE_HOME/dlcore/<name>, by default ~/.cache/dlcore/<name>."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification ignores relative paths.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "dlcore" / name


class Progress:
    """tqdm where it is installed, a plain line otherwise; silent where standard error is no terminal."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done, self.shown = title, total, 0, -1
        self.bar: Any = None
        self.plain = False
        if not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            self.plain = True
        else:
            self.bar = tqdm(total=total, desc=title, unit="B", unit_scale=True, unit_divisor=1024)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.plain:
            print(file=sys.stderr)

    def advance(self, n: int) -> None:
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
        elif self.plain:
            step = self.done * 40 // self.total if self.total else self.done >> 18
            if step != self.shown:
                self.shown = step
                size = f"{self.done / 2**20:.1f} MiB"
                bar = f"[{'#' * step:40}] {size} of {self.total / 2**20:.1f}" if self.total else size
                print(f"\r{self.title} {bar}", end="", file=sys.stderr, flush=True)


def download(target: Path, mirrors: Sequence[str], sha256: str) -> Path:
    """Fetches `<mirror><target.name>` from the first mirror that has it whole.

    Raises OSError that lists what each mirror said. A file already there is not fetched again.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    said = []
    for mirror in mirrors:
        url = mirror + target.name
        temporary = None
        try:
            with (
                urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
                tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name + ".", delete=False) as out,
            ):
                temporary = Path(out.name)
                length = response.headers.get("Content-Length", "")
                digest = hashlib.sha256()
                with Progress(target.name, int(length) if length.isdigit() else None) as progress:
                    while block := response.read(1 << 16):
                        out.write(block)
                        digest.update(block)
                        progress.advance(len(block))
            if digest.hexdigest() == sha256:
                os.chmod(temporary, 0o644)
                os.replace(temporary, target)
                return target
            got = digest.hexdigest()
            said.append(f"{url}: expected SHA-256 {sha256[:16]}..., what came has {got[:16]}...")
        except (OSError, urllib.error.URLError, ValueError) as e:
            said.append(f"{url}: {getattr(e, 'reason', None) or e}")
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
    raise OSError(f"could not download {target.name}; " + "; ".join(said))
