"""What pipelines share: batches, defaults of a call, evaluation off the tape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.tensor import tensor

__all__ = ["Pipeline", "softmax"]


def softmax(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    e = np.exp(x - x.max(-1, keepdims=True))
    out: np.ndarray[Any, Any] = e / e.sum(-1, keepdims=True)
    return out


class Pipeline:
    """A model with its tokenizer. Called with one input it gives one answer, with a list a list; `batch_size`
    inputs go through the model together. Options of the call may also be given when the pipeline is made.
    """

    def __init__(self, model: Any, tokenizer: Any, task: str = "", **defaults: Any) -> None:
        self.model, self.tokenizer, self.task = model.eval(), tokenizer, task
        self.defaults = defaults

    def __call__(self, inputs: Any, **options: Any) -> Any:
        options = {**self.defaults, **options}
        batch_size = int(options.pop("batch_size", 1))
        if batch_size < 1:
            raise ValueError(f"pipeline: batch_size must be positive, got {batch_size}")
        if self._is_one(inputs):
            return self.run([inputs], **options)[0]
        items = list(inputs)
        out: list[Any] = []
        for batch in _batches(items, batch_size):
            out += self.run(batch, **options)
        return out

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, (str, dict))

    def run(self, batch: list[Any], **options: Any) -> list[Any]:
        """The answers to a batch."""
        raise NotImplementedError

    def encode(self, texts: Any, pairs: Any = None, **options: Any) -> Any:
        """Ids as ndarrays, padded to one length and cut to what the model takes."""
        if self.tokenizer.pad_token is None and len(texts) > 1:
            raise ValueError(
                "pipeline: batches of texts need a pad_token; set tokenizer.pad_token, or batch_size=1"
            )
        options = {"padding": len(texts) > 1, "truncation": True, **options}
        return self.tokenizer(texts, pairs, return_tensors="np", **options)

    def forward(self, encoded: Any) -> Any:
        """The model's outputs for encodings, off the tape."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        with no_grad():
            return self.model(**{k: tensor(encoded[k]) for k in names if k in encoded})


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
