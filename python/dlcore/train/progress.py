"""A progress bar in Keras' form: on a terminal it is redrawn in place,
elsewhere one line an epoch is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

__all__ = ["ProgressBar"]

_BOLD, _GREEN, _GREY, _END = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def _seconds(t: float) -> str:
    """A remaining time: 7s, 1:07, 1:00:07."""
    n = int(t)
    if t > 3600:
        return f"{n // 3600}:{n % 3600 // 60:02d}:{n % 60:02d}"
    if t > 60:
        return f"{n // 60}:{n % 60:02d}"
    return f"{n}s"


def _rate(t: float, unit: str) -> str:
    """The duration of one unit, in the largest of s, ms and us that it fills."""
    if t >= 1 or t == 0:
        return f"{t:.0f}s/{unit}"
    if t >= 1e-3:
        return f"{t * 1e3:.0f}ms/{unit}"
    return f"{t * 1e6:.0f}us/{unit}"


def _number(v: float) -> str:
    return f"{v:.4f}" if abs(v) > 1e-3 else f"{v:.4e}"


class ProgressBar:
    """`938/938 ━━━━━━━━━━━━━━━━━━━━ 5s 5ms/step - accuracy: 0.9534 - loss: 0.1543`.

    target: the number of steps, None where it is not known. verbose: 1 bar, 2 one line without a bar, 0
    nothing. The stream is looked up as `sys.stdout` when the bar is made.

    >>> bar = ProgressBar(2)
    >>> bar.update(1, {"loss": 0.5})  # not a terminal: nothing before the end
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        unit_name: str = "step",
        stream: TextIO | None = None,
    ) -> None:
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stream = sys.stdout if stream is None else stream
        isatty = getattr(self.stream, "isatty", None)
        self.in_place = bool(isatty and isatty())
        self._start = time.perf_counter()
        self._first: float | None = (
            None  # when the first step had ended: the estimate leaves its warming-up out
        )
        self._drawn = float("-inf")
        self._columns = 0

    def due(self, current: int) -> bool:
        """Notes the time of the first step; whether `update(current)` would draw anything before the end."""
        now = time.perf_counter()
        if self._first is None and current >= 1:
            self._first = now
        return self.verbose == 1 and self.in_place and now - self._drawn >= self.interval

    def update(
        self, current: int, values: Mapping[str, float] | None = None, finalize: bool | None = None
    ) -> None:
        """Draws `current` of `target` steps; `finalize` ends the line (by default when the target is
        reached).
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        due = self.due(current)
        if self.verbose == 0 or not (finalize or due):
            return
        now = time.perf_counter()
        values = values or {}
        unit = self._estimate(current, now)
        metrics = "".join(f" - {k}: {_number(float(v))}" for k, v in values.items())
        if self.verbose == 2:
            if finalize and self.target:
                count = f"{current:{len(str(self.target))}d}/{self.target}"
                self._write(f"{count} - {now - self._start:.0f}s - {_rate(unit, self.unit_name)}{metrics}\n")
            return
        if self.target:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            done = min(self.width, int(self.width * current / self.target))
        else:
            count, done = f"{current:7d}/Unknown", 0
        clock = (
            _seconds(unit * (self.target - current))
            if self.target and not finalize
            else f"{now - self._start:.0f}s"
        )
        bar = " " + "━" * self.width if self.target else ""
        plain = f"{count}{bar} {clock} {_rate(unit, self.unit_name)}{metrics}"
        if self.in_place:
            line = plain
            if self.target:
                marked = f" {_GREEN}{'━' * done}{_END}" if done else " "
                marked += f"{_GREY}{'━' * (self.width - done)}{_END}"
                rate = _rate(unit, self.unit_name)
                line = f"{_BOLD}{count}{_END}{marked} {_BOLD}{clock}{_END} {rate}{metrics}"
            self._write("\r" + line + " " * max(0, self._columns - len(plain)) + ("\n" if finalize else ""))
        else:
            self._write(plain + "\n")
        self._columns = len(plain)
        self._drawn = now

    def _estimate(self, current: int, now: float) -> float:
        if current <= 0:
            return 0.0
        if self._first is not None and current > 1:
            return (now - self._first) / (current - 1)
        return (now - self._start) / current

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
