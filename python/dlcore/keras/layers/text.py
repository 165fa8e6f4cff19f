"""TextVectorization: texts as the indices of their words, or as rows of which and how often."""

from __future__ import annotations

import re
import string
from typing import Any

import numpy as np

from dlcore.keras._registry import deserialize_any, serialize_any
from dlcore.keras.layers.base import layer_registry, to_tensor
from dlcore.keras.layers.lookup import HostLayer, NDArray, StringLookup, host_array
from dlcore.tensor import Tensor

__all__ = ["TextVectorization"]

# Keras' own are of ASCII alone.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"[^ \t\n\r\f\v]+")


@layer_registry.add()
class TextVectorization(HostLayer):
    """Each text standardized (ASCII letters lowered, punctuation dropped), split into words or characters,
    perhaps joined to n-grams, and looked up.

    As "int": (N, length of the longest, or `output_sequence_length`), 0 padding, 1 unknown; else rows as
    StringLookup's. `standardize` and `split` may be functions, of an array of str and of a list of texts.

    >>> from dlcore import keras
    >>> layer = keras.layers.TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    >>> layer([["foo qux bar"], ["Qux, baz!"]]).tolist()
    [[4, 1, 3, 0], [1, 2, 0, 0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        lookup = {k: kwargs.pop(k) for k in ("vocabulary_size", "has_input_vocabulary") if k in kwargs}
        super().__init__(name=name, **kwargs)
        if ragged:
            raise ValueError("`ragged=True` can only be used with the TensorFlow backend.")
        for what, value, names in (
            ("standardize", standardize, ("lower_and_strip_punctuation", "lower", "strip_punctuation")),
            ("split", split, ("whitespace", "character")),
        ):
            if value is not None and not callable(value) and value not in names:
                raise ValueError(
                    f"TextVectorization: {what} must be None, a function, {' or '.join(names)}, got {value!r}"
                )
        whole = ngrams is None or isinstance(ngrams, int)
        if not whole and not (isinstance(ngrams, tuple) and all(isinstance(n, int) for n in ngrams)):
            raise ValueError(
                f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={ngrams}"
            )
        length = output_sequence_length
        if output_mode == "int" and not (length is None or isinstance(length, int)):
            raise ValueError(
                "`output_sequence_length` must be either None or an integer when `output_mode` is 'int'."
                f" Received: output_sequence_length={length}"
            )
        if output_mode != "int" and length is not None:
            raise ValueError(
                "`output_sequence_length` must not be set if `output_mode` is not 'int'. Received"
                f" output_sequence_length={length}."
            )
        self.autocast = False
        self._standardize, self._split, self._ngrams = standardize, split, ngrams
        self._length = length
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=output_mode,
            sparse=sparse,
            encoding=encoding,
            **lookup,
        )
        self._mode = self._lookup_layer.output_mode

    # ---- tokens --------------------------------------------------------------------------------------------

    def _standard(self, texts: NDArray) -> NDArray:
        how = self._standardize
        if callable(how):
            return host_array(how(texts), "string")
        if how is None:
            return texts
        lower, strip = how.startswith("lower"), how.endswith("strip_punctuation")
        out = [t.translate(_LOWER) if lower else t for t in texts.ravel().tolist()]
        out = [t.translate(_NO_PUNCTUATION) for t in out] if strip else out
        return np.asarray(out, np.str_).reshape(texts.shape)

    def _preprocess(self, inputs: Any) -> NDArray:
        """The tokens, (*, L), short rows filled with ""."""
        texts = self._standard(host_array(inputs, "string", self._lookup_layer.encoding))
        if self._split is None:
            if self._ngrams is None:
                return texts
            lead = texts.shape[:-1]
            rows = texts.reshape(-1, texts.shape[-1]).tolist()
        else:
            if texts.ndim > 1:
                if texts.shape[-1] != 1:
                    raise ValueError(
                        "When using `TextVectorization` to tokenize strings, the input rank must be 1 or the"
                        f" last shape dimension must be 1. Received: inputs.shape={texts.shape} with"
                        f" rank={texts.ndim}"
                    )
                texts = texts[..., 0]
            lead = texts.shape
            flat = texts.ravel().tolist()
            if callable(self._split):
                rows = [list(row) for row in self._split(flat)]
            else:
                rows = [_WORD.findall(t) if self._split == "whitespace" else list(t) for t in flat]
        if self._ngrams is not None:
            widths = range(1, self._ngrams + 1) if isinstance(self._ngrams, int) else self._ngrams
            rows = [
                [" ".join(row[i : i + n]) for n in widths for i in range(len(row) - n + 1)] for row in rows
            ]
        longest = max((len(row) for row in rows), default=0)
        filled = [[*row, *[""] * (longest - len(row))] for row in rows]
        return np.asarray(filled, np.str_).reshape(*lead, longest)

    # ---- vocabulary ----------------------------------------------------------------------------------------

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learns the vocabulary of an array or a list of texts, or of an iterable of batches of them."""
        self.reset_state()
        if isinstance(data, (list, tuple, np.ndarray, Tensor)):
            a = host_array(data, "string", self._lookup_layer.encoding)
            self.update_state(a[:, None] if a.ndim == 1 else a)
        else:
            for i, batch in enumerate(data):
                if steps is not None and i >= steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        self._lookup_layer.update_state(self._preprocess(data))

    def finalize_state(self) -> None:
        self._lookup_layer.finalize_state()

    def reset_state(self) -> None:
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    # ---- call ----------------------------------------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        tokens = self._preprocess(inputs)
        if self._mode != "int":
            return self._lookup_layer.call(tokens)
        indices = self._lookup_layer._indices(tokens)
        if self._length is not None:
            indices = indices[..., : self._length]
            room = [(0, 0)] * (indices.ndim - 1) + [(0, self._length - indices.shape[-1])]
            indices = np.pad(indices, room)
        return to_tensor(indices)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._mode == "int":
            return (input_shape[0], self._length)
        lead = tuple(input_shape)
        if self._split is not None:
            lead = (*lead, None)
        elif len(lead) <= 1:
            lead = (*lead, 1)
        return self._lookup_layer.compute_output_shape(lead)

    def get_config(self) -> dict[str, Any]:
        inner = self._lookup_layer.get_config()
        kept = ("max_tokens", "pad_to_max_tokens", "sparse", "vocabulary", "idf_weights", "encoding")
        return {
            "name": self.name,
            "trainable": self.trainable,
            "standardize": serialize_any(self._standardize),
            "split": serialize_any(self._split),
            "ngrams": self._ngrams,
            "output_mode": self._mode,
            "output_sequence_length": self._length,
            "ragged": False,
            **{k: inner[k] for k in kept},
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = {k: v for k, v in config.items() if k != "dtype"}
        for key in ("standardize", "split"):
            if isinstance(config.get(key), dict):
                config[key] = deserialize_any(config[key])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)
