"""Streamers: the text of the tokens as they come."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["BaseStreamer", "TextIteratorStreamer", "TextStreamer"]


class BaseStreamer:
    """`put` gets token ids, the prompt first; `end` is called once at the end."""

    def put(self, value: Any) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class TextStreamer(BaseStreamer):
    """Prints the text of one sequence, word by word: a word that the next token may change is held back.

    `skip_prompt` leaves the prompt out; `decode_kwargs` go to `tokenizer.decode`.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        self._tokens: list[int] = []
        self._printed = 0
        self._prompt = True

    def put(self, value: Any) -> None:
        ids = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        if ids.ndim > 1 and ids.shape[0] > 1:
            raise ValueError("TextStreamer: only a batch of 1 can be streamed")
        if self._prompt:
            self._prompt = False
            if self.skip_prompt:
                return
        self._tokens += ids.reshape(-1).tolist()
        text = self.tokenizer.decode(self._tokens, **self.decode_kwargs)
        if text.endswith("\n"):
            new, self._tokens, self._printed = text[self._printed :], [], 0
        elif text and _is_cjk(text[-1]):
            new = text[self._printed :]
            self._printed += len(new)
        else:  # up to the last space: what follows may still become another word, or half a character
            new = text[self._printed : text.rfind(" ") + 1]
            self._printed += len(new)
        self.on_finalized_text(new)

    def end(self) -> None:
        text = self.tokenizer.decode(self._tokens, **self.decode_kwargs) if self._tokens else ""
        new = text[self._printed :]
        self._tokens, self._printed, self._prompt = [], 0, True
        self.on_finalized_text(new, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        print(text, flush=True, end="\n" if stream_end else "")


def _is_cjk(c: str) -> bool:
    return any(
        first <= ord(c) <= last
        for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))
    )


class TextIteratorStreamer(TextStreamer):
    """An iterator over the pieces of text, to be read while `generate` runs in another thread.

    `timeout` seconds without a piece raise queue.Empty, so that a thread that died is noticed.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: queue.Queue[str | None] = queue.Queue()
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(None, timeout=self.timeout)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self.text_queue.get(timeout=self.timeout)
        if piece is None:
            raise StopIteration
        return piece
