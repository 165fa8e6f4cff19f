"""Strings and integers as indices of a vocabulary, or in hashed bins: StringLookup, IntegerLookup, Hashing.

They work on host memory, on arrays, lists and integer Tensors, and give integer Tensors (StringLookup with
`invert` an array of str). Strings cannot be inputs of a graph: look them up before the model.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcore.keras._hash import buckets
from dlcore.keras.layers.base import Layer, layer_registry, to_tensor
from dlcore.keras.symbolic import is_symbolic
from dlcore.tensor import Tensor

__all__ = ["Hashing", "IntegerLookup", "StringLookup", "host_array"]

NDArray = npt.NDArray[Any]


def host_array(x: Any, dtype: str, encoding: str = "utf-8") -> NDArray:
    """Strings as an array of str ("string"), or numbers as integers ("int64")."""
    a = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if dtype != "string":
        if a.dtype.kind not in "iufb":
            raise TypeError(f"lookup: integers are expected, got dtype {a.dtype}")
        return a.astype(np.int64)
    if a.dtype.kind == "O":
        texts = [v.decode(encoding) if isinstance(v, bytes) else v for v in a.ravel().tolist()]
        if not all(isinstance(v, str) for v in texts):
            raise TypeError("lookup: strings are expected, got an array of other objects")
        return np.asarray(texts, np.str_).reshape(a.shape)
    if a.dtype.kind == "S":
        decoded: NDArray = np.char.decode(a, encoding)
        return decoded
    if a.dtype.kind != "U" and a.size:
        raise TypeError(f"lookup: strings are expected, got dtype {a.dtype}")
    return a.astype(np.str_)


def rows_of(labels: NDArray, n: int, mode: str) -> NDArray:
    """Indices as int64 rows of n; what is n or more is dropped."""
    if mode == "one_hot":
        if labels.ndim > 1 and labels.shape[-1] == 1:
            labels = labels[..., 0]
        hot: NDArray = labels[..., None] == np.arange(n)
        return hot.astype(np.int64)
    flat = labels.reshape(-1, labels.shape[-1])
    counts = np.zeros((len(flat), n + 1), np.int64)
    np.add.at(counts, (np.arange(len(flat))[:, None], np.minimum(flat, n)), 1)
    counts = counts[:, :n].reshape(*labels.shape[:-1], n)
    return (counts > 0).astype(np.int64) if mode == "multi_hot" else counts


def salted(layer: str, salt: Any) -> list[int] | None:
    if salt is None:
        return None
    if isinstance(salt, (tuple, list)) and len(salt) == 2:
        return list(salt)
    if isinstance(salt, int):
        return [salt, salt]
    raise ValueError(
        f"The `salt` argument for `{layer}` can only be a tuple of size 2 integers, or a single integer."
        f" Received: salt={salt}."
    )


class HostLayer(Layer):
    """A layer whose inputs need not be numbers."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if args else kwargs.get("inputs")
        if is_symbolic(inputs):
            return super().__call__(*args, **kwargs)
        self.built = True
        return self.call(inputs)

    def _fixed_axes(self) -> tuple[int, ...]:
        return ()

    def _output_dtype(self, first: Any) -> str:
        return "int64"


class _IndexLookup(HostLayer):
    """mask (only as "int"), then the bins of unknown tokens, then the vocabulary."""

    _kind = "string"
    _caller = "StringLookup"
    encoding = "utf-8"

    def _setup(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        sparse: bool,
        pad_to_max_tokens: bool,
        oov_method: str,
        salt: Any,
        kwargs: dict[str, Any],
    ) -> None:
        for key in kwargs:
            if key not in ("vocabulary_size", "has_input_vocabulary"):
                raise ValueError(f"Unrecognized keyword argument(s): {kwargs}")
        if sparse:
            raise ValueError("`sparse=True` can only be used with the TensorFlow backend.")
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(
                f"If set, `max_tokens` must be greater than 1. Received: max_tokens={max_tokens}"
            )
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(
                f"If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens={max_tokens}"
            )
        if num_oov_indices < 0:
            raise ValueError(
                "`num_oov_indices` must be greater than or equal to 0. Received:"
                f" num_oov_indices={num_oov_indices}"
            )
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(f"{self._caller}: oov_method must be floormod or farmhash, got {oov_method!r}")
        if salt is not None and self._kind == "int64" and oov_method != "farmhash":
            raise ValueError(
                f"`salt` can only be used when `oov_method='farmhash'`. Received: oov_method={oov_method}"
            )
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        if output_mode not in ("int", "one_hot", "multi_hot", "count", "tf_idf"):
            raise ValueError(
                f"{self._caller}: output_mode must be int, one_hot, multi_hot, count or tf_idf, got"
                f" {output_mode!r}"
            )
        if invert and output_mode != "int":
            raise ValueError(
                f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={output_mode}"
            )
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(
                "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received:"
                f" idf_weights={idf_weights} and output_mode={output_mode}"
            )
        if output_mode == "tf_idf" and vocabulary is not None and idf_weights is None:
            raise ValueError(
                "When specifying the `vocabulary` argument, in TF-IDF output mode, the `idf_weights`"
                " argument must also be provided."
            )
        self.autocast = False
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.invert, self.output_mode, self.sparse = bool(invert), output_mode, False
        self.pad_to_max_tokens, self.oov_method = bool(pad_to_max_tokens), oov_method
        self.salt = salted(self._caller, salt)
        self._fixed = vocabulary is not None
        self._take(np.empty(0, np.str_ if self._kind == "string" else np.int64))
        self.idf_weights: NDArray | None = None
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _array(self, x: Any) -> NDArray:
        return host_array(x, self._kind, self.encoding)

    @property
    def _oov_start(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    @property
    def _token_start(self) -> int:
        return self._oov_start + self.num_oov_indices

    def _take(self, tokens: NDArray) -> None:
        self._tokens = tokens
        self._order = np.argsort(tokens, kind="stable")
        self._sorted = tokens[self._order]

    # ---- vocabulary ----------------------------------------------------------------------------------------

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices."""
        tokens: list[Any] = self._tokens.tolist()
        if not include_special_tokens:
            return tokens
        return [*[self.mask_token] * self._oov_start, *[self.oov_token] * self.num_oov_indices, *tokens]

    def vocabulary_size(self) -> int:
        return self._token_start + len(self._tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes the tokens of a list or array, or of a file with one a line; special ones may lead it."""
        if self.output_mode == "tf_idf" and idf_weights is None:
            raise ValueError("`idf_weights` must be set if output_mode is 'tf_idf'.")
        if self.output_mode != "tf_idf" and idf_weights is not None:
            raise ValueError(
                "`idf_weights` should only be set if output_mode is `'tf_idf'`. Received:"
                f" output_mode={self.output_mode} and idf_weights={idf_weights}"
            )
        if isinstance(vocabulary, (str, os.PathLike)):
            if not os.path.exists(vocabulary):
                raise ValueError(f"Vocabulary file {vocabulary} does not exist.")
            with open(vocabulary, encoding=self.encoding) as f:
                lines = f.read().splitlines()
            vocabulary = lines if self._kind == "string" else [int(v) for v in lines]
        given = self._array(vocabulary)
        if given.ndim != 1 or given.size == 0:
            raise ValueError(f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}")
        special = self.get_vocabulary()[: self._token_start]
        led = given[: len(special)].tolist() == special
        tokens = given[len(special) :] if led else given
        repeated = [v for v, n in Counter(tokens.tolist()).items() if n > 1]
        if repeated:
            raise ValueError(
                "The passed vocabulary has at least one repeated term. Please uniquify your dataset. The"
                f" repeated terms are: {repeated}"
            )
        for name, token in (("mask", self.mask_token), ("oov", self.oov_token if self.invert else None)):
            if token is not None and token in tokens.tolist():
                raise ValueError(
                    f"Found reserved {name} token at unexpected location in `vocabulary`. Note that passed"
                    " `vocabulary` does not need to include the OOV and mask tokens. Either remove all mask"
                    " and OOV tokens, or include them only at the start of the vocabulary in precisely this"
                    f" order: {special}. Received: {name}_token={token} at vocabulary index"
                    f" {given.tolist().index(token)}"
                )
        size = self._token_start + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                "Attempted to set a vocabulary larger than the maximum vocab size. Received vocabulary size"
                f" is {size}; `max_tokens` is {self.max_tokens}."
            )
        if idf_weights is not None:
            weights = np.asarray(idf_weights, np.float32)
            if weights.shape != given.shape:
                raise ValueError(
                    f"`idf_weights` must be the same length as vocabulary. len(idf_weights) is"
                    f" {len(weights)}; len(vocabulary) is {len(given)}"
                )
            self._weigh(weights[len(special) :] if led else weights, weights[: len(special)] if led else None)
        self._take(tokens)

    def _weigh(self, of_tokens: NDArray, leading: NDArray | None = None) -> None:
        """Unknown tokens weigh as the others on average, room up to `max_tokens` nothing."""
        if leading is None:
            leading = np.full(self._token_start, of_tokens.mean(), np.float32)
        weights = np.concatenate([leading, of_tokens]).astype(np.float32)
        if self.pad_to_max_tokens and self.max_tokens is not None:
            weights = np.pad(weights, (0, self.max_tokens - len(weights)))
        self.idf_weights = weights

    # ---- adapt ---------------------------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns the vocabulary of an array or a list, or of an iterable of batches: the most frequent
        first, among equals the last in order."""
        self.reset_state()
        if isinstance(data, (list, tuple, np.ndarray, Tensor)):
            a = self._array(data)
            self.update_state(a[:, None] if a.ndim == 1 else a)
        else:
            for i, batch in enumerate(data):
                if steps is not None and i >= steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        if self._fixed:
            raise ValueError(
                f"Cannot adapt layer '{self.name}' after setting a static vocabulary via `vocabulary`"
                " argument or `set_vocabulary()` method."
            )
        a = self._array(data)
        rows = a.reshape(1, -1) if a.ndim < 2 else a.reshape(len(a), -1)
        found, counts = np.unique(rows, return_counts=True)
        self._counts.update(dict(zip(found.tolist(), counts.tolist())))
        if self.output_mode == "tf_idf":
            self._documents += len(rows)
            for row in rows:
                self._in_documents.update(set(row.tolist()))

    def finalize_state(self) -> None:
        """Makes the vocabulary of what `update_state` has seen."""
        for token in (self.mask_token, self.oov_token):
            self._counts.pop(token, None)
        if self._fixed or not self._counts:
            return
        tokens = sorted(self._counts, reverse=True)
        tokens.sort(key=lambda t: -self._counts[t])
        if self.max_tokens is not None:
            tokens = tokens[: self.max_tokens - self._token_start]
        self._take(self._array(tokens))
        if self.output_mode == "tf_idf":
            seen = np.asarray([self._in_documents[t] for t in tokens], np.float64)
            self._weigh(np.log(1 + self._documents / (1 + seen)).astype(np.float32))
        self.reset_state()

    def reset_state(self) -> None:
        self._counts: Counter[Any] = Counter()
        self._in_documents: Counter[Any] = Counter()
        self._documents = 0

    # ---- lookup --------------------------------------------------------------------------------------------

    def _indices(self, a: NDArray) -> NDArray:
        """Indices, of masked values n (dropped from rows) or 0 (as "int")."""
        at = np.searchsorted(self._sorted, a)
        at = np.minimum(at, max(len(self._sorted) - 1, 0))
        known = self._sorted[at] == a if len(self._sorted) else np.zeros(a.shape, bool)
        out = np.zeros(a.shape, np.int64)
        out[known] = self._order[at[known]] + self._token_start
        masked = a == self.mask_token if self.mask_token is not None else np.zeros(a.shape, bool)
        unknown = ~known & ~masked
        if unknown.any():
            out[unknown] = self._oov_start + self._bins(a[unknown])
        out[masked] = 0 if self.output_mode == "int" else np.iinfo(np.int64).max
        return out

    def _bins(self, a: NDArray) -> Any:
        n = self.num_oov_indices
        if n == 0:
            raise ValueError(
                f"When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values {a.tolist()},"
                " consider setting `num_oov_indices=1`."
            )
        if n == 1:
            return 0
        if self._kind == "int64" and self.oov_method == "floormod":
            return a % n
        return buckets(a, n, self.salt)

    def _depth(self) -> int:
        if self.pad_to_max_tokens and self.max_tokens is not None:
            return self.max_tokens
        if not len(self._tokens):
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, you must set the"
                " layer's vocabulary before calling it. Either pass a `vocabulary` argument to the layer, or"
                " call `adapt` with some sample data."
            )
        return self.vocabulary_size()

    def _tokens_of(self, inputs: Any) -> Any:
        i = host_array(inputs, "int64")
        at = i - self._token_start
        known = (at >= 0) & (at < len(self._tokens))
        default = [self.oov_token, *([self.mask_token] if self.mask_token is not None else [])]
        table = np.concatenate([self._tokens, self._array(default)])
        place = np.where(known, at, len(self._tokens))
        if self.mask_token is not None:
            place = np.where(i == 0, len(self._tokens) + 1, place)
        out = table[place]
        return out.astype(object) if self._kind == "string" else to_tensor(out)

    def call(self, inputs: Any) -> Any:
        if self.invert:
            return self._tokens_of(inputs)
        a = self._array(inputs)
        if self.output_mode == "int":
            return to_tensor(self._indices(a))
        n = self._depth()
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        rows = rows_of(self._indices(a.reshape(1) if a.ndim == 0 else a), n, mode)
        if self.output_mode != "tf_idf":
            return to_tensor(rows)
        if self.idf_weights is None:
            raise ValueError("When `output_mode` is `'tf_idf'`, `idf_weights` must be provided.")
        return to_tensor(rows.astype(np.float32) * self.idf_weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return input_shape
        lead = tuple(input_shape)
        if self.output_mode != "one_hot" or (len(lead) > 1 and lead[-1] == 1):
            lead = lead[:-1]
        return (*lead, self._depth())

    def _output_dtype(self, first: Any) -> str:
        return "float32" if self.output_mode == "tf_idf" else "int64"

    def get_config(self) -> dict[str, Any]:
        """With the vocabulary, learned or given, so that an equal layer knows the same tokens."""
        known = self._tokens.tolist() or None
        weights = self.idf_weights if known else None
        if weights is not None:
            weights = weights[: self.vocabulary_size()]
            known = self.get_vocabulary()
        return {
            "name": self.name,
            "trainable": self.trainable,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "invert": self.invert,
            "sparse": False,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "idf_weights": None if weights is None else weights.tolist(),
            "vocabulary": known,
            "vocabulary_size": self.vocabulary_size() if known else None,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{k: v for k, v in config.items() if k not in ("dtype", "trainable")})


@layer_registry.add()
class StringLookup(_IndexLookup):
    """Strings as the indices of a vocabulary, 0 (with a mask token 1) for unknown ones.

    output_mode "int", or rows: "one_hot", "multi_hot" (which occur), "count" (how often), "tf_idf" (how
    often, times log(1 + documents / (1 + documents that have it))). With several `num_oov_indices` unknown
    strings go into bins by their hash; with 0 they are an error. `invert` gives strings of indices.

    >>> from dlcore import keras
    >>> layer = keras.layers.StringLookup(vocabulary=["a", "b", "c"])
    >>> layer([["b", "x"], ["c", "a"]]).tolist()
    [[2, 0], [3, 1]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        oov_method: str = "floormod",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        self.encoding = encoding
        self._setup(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            oov_method,
            salt,
            kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoding": self.encoding}


@layer_registry.add()
class IntegerLookup(_IndexLookup):
    """Integers as the indices of a vocabulary; as StringLookup, unknown ones in bins by their remainder, or
    by their hash with oov_method "farmhash"."""

    _kind = "int64"
    _caller = "IntegerLookup"

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if vocabulary_dtype != "int64":
            raise ValueError(
                "Only `vocabulary_dtype='int64'` is supported at this time. Received:"
                f" vocabulary_dtype={vocabulary_dtype}"
            )
        super().__init__(name=name)
        self._setup(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            oov_method,
            salt,
            kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_dtype": "int64"}


@layer_registry.add()
class Hashing(HostLayer):
    """Strings or integers in `num_bins` bins by FarmHash's fingerprint, by SipHash where there is a `salt`;
    with a `mask_value` bin 0 is its own.

    >>> from dlcore import keras
    >>> keras.layers.Hashing(num_bins=3)([["A"], ["B"], ["E"]]).tolist()
    [[1], [0], [2]]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_bins is None or num_bins <= 0:
            raise ValueError(
                "The `num_bins` for `Hashing` cannot be `None` or non-positive values. Received:"
                f" num_bins={num_bins}."
            )
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                "Invalid value for argument `output_mode`. Expected one of ('int', 'one_hot', 'multi_hot',"
                f" 'count'). Received: output_mode={output_mode}"
            )
        if isinstance(dtype, dict):
            dtype = dtype["config"]["name"]
        self._gives = str(dtype or ("int64" if output_mode == "int" else "float32"))
        if output_mode == "int" and self._gives not in ("int32", "int64"):
            raise ValueError(
                "When `output_mode=\"int\"`, `dtype` should be an integer type, 'int32' or 'in64'."
                f" Received: dtype={dtype}"
            )
        if sparse:
            raise ValueError("Hashing: sparse=True is not supported")
        self.num_bins, self.mask_value, self.output_mode = num_bins, mask_value, output_mode
        self.salt = salted("Hashing", salt)
        self.autocast = False

    def call(self, inputs: Any) -> Any:
        a = inputs.detach().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs)
        a = host_array(a, "int64" if a.dtype.kind in "iufb" else "string")
        masked = self.mask_value is not None and self.num_bins > 1
        bins = buckets(a, self.num_bins - masked, self.salt)
        if masked:
            bins = np.where(a == self.mask_value, 0, bins + 1)
        if self.output_mode != "int":
            bins = rows_of(bins.reshape(1) if bins.ndim == 0 else bins, self.num_bins, self.output_mode)
        return to_tensor(bins.astype(self._gives))

    def compute_output_shape(self, input_shape: Any) -> Any:
        lead = tuple(input_shape)
        if self.output_mode == "int":
            return lead
        if self.output_mode != "one_hot" or (len(lead) > 1 and lead[-1] == 1):
            lead = lead[:-1]
        return (*lead, self.num_bins)

    def _output_dtype(self, first: Any) -> str:
        return self._gives

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self._gives,
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": False,
        }
