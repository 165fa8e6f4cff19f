"""AutoTokenizer: text to token ids and back, from the files that models come with.

The work is done by the tokenizers library (pip install 'dlcore[text]'). It is given what it needs from
tokenizer.json, or from the older files: vocab.txt (WordPiece: BERT), vocab.json and merges.txt (byte-level
BPE: GPT-2), or a sentencepiece model (unigram: T5, ALBERT; BPE with byte fallback: Llama), whose protobuf is
read here.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from dlcore.hub import HUB_OPTIONS, find_optional, write_text
from dlcore.io.checkpoint import read_json
from dlcore.tensor import tensor

__all__ = ["AutoTokenizer", "BatchEncoding", "PreTrainedTokenizer"]

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_NO_LIMIT = int(1e30)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as e:
        raise ImportError("AutoTokenizer: needs the tokenizers library: pip install 'dlcore[text]'") from e
    return tokenizers


class BatchEncoding(dict[str, Any]):
    """What a tokenizer returns: a dict that also has its entries as attributes, and knows where tokens came
    from.
    """

    encodings: list[Any]

    def __init__(self, data: Mapping[str, Any], encodings: list[Any] | None = None) -> None:
        super().__init__(data)
        self.encodings = encodings or []

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def tokens(self, batch_index: int = 0) -> list[str]:
        return cast(list[str], self.encodings[batch_index].tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Of each token the number of its word, None for special tokens."""
        return cast("list[int | None]", self.encodings[batch_index].word_ids)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Of each token 0 for the first text and 1 for the second, None for special tokens."""
        return cast("list[int | None]", self.encodings[batch_index].sequence_ids)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> Any:
        batch, char = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        return self.encodings[batch].char_to_token(char, sequence_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> Any:
        batch, token = (
            (0, batch_or_token_index) if token_index is None else (batch_or_token_index, token_index)
        )
        return self.encodings[batch].token_to_chars(token)


class PreTrainedTokenizer:
    """A tokenizer with its special tokens; called with texts, it gives `input_ids`, `attention_mask` and
    more.
    """

    def __init__(self, backend: Any, config: Mapping[str, Any], names: Sequence[str] | None = None) -> None:
        self.backend_tokenizer = backend
        self.init_kwargs = dict(config)
        self.name_or_path = str(config.get("name_or_path", ""))
        limit = config.get("model_max_length")
        self.model_max_length = _NO_LIMIT if limit is None or limit > _NO_LIMIT else int(limit)
        self.padding_side = config.get("padding_side", "right")
        self.truncation_side = config.get("truncation_side", "right")
        self.model_input_names = list(
            names or config.get("model_input_names") or ["input_ids", "attention_mask"]
        )
        self._special: dict[str, str] = {}
        for name in _SPECIAL:
            value = config.get(name)
            value = value.get("content") if isinstance(value, dict) else value
            if value is not None:
                self._special[name] = value
        extra = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
        values = extra.values() if isinstance(extra, dict) else extra
        self.additional_special_tokens = [t["content"] if isinstance(t, dict) else t for t in values]
        new = [t for t in self.all_special_tokens if backend.token_to_id(t) is None or not self._is_added(t)]
        if new:
            backend.add_special_tokens(new)
        backend.encode_special_tokens = False

    def _is_added(self, token: str) -> bool:
        return any(
            t.content == token and t.special
            for t in self.backend_tokenizer.get_added_tokens_decoder().values()
        )

    # ---- special tokens ------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name in _SPECIAL:
            return self._special.get(name)
        if name.endswith("_id") and name[:-3] in _SPECIAL:
            token = self._special.get(name[:-3])
            return None if token is None else self.convert_tokens_to_ids(token)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SPECIAL:
            if value is None:
                self._special.pop(name, None)
            else:
                self.add_special_tokens({name: value})
        else:
            object.__setattr__(self, name, value)

    @property
    def all_special_tokens(self) -> list[str]:
        return list(dict.fromkeys([*self._special.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        return cast("list[int]", self.convert_tokens_to_ids(self.all_special_tokens))

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        out: dict[str, Any] = dict(self._special)
        if self.additional_special_tokens:
            out["additional_special_tokens"] = self.additional_special_tokens
        return out

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Sets special tokens by name; returns how many the vocabulary did not have.

        Raises ValueError for a name that is not one of a special token.
        """
        before, new = len(self), []
        for name, value in special_tokens_dict.items():
            if name == "additional_special_tokens":
                self.additional_special_tokens = [str(v) for v in value]
                new += self.additional_special_tokens
            elif name in _SPECIAL:
                self._special[name] = str(value)
                new.append(str(value))
            else:
                raise ValueError(f"add_special_tokens: must be one of {', '.join(_SPECIAL)}, got {name!r}")
        self.backend_tokenizer.add_special_tokens(new)
        return len(self) - before

    def add_tokens(self, new_tokens: str | Sequence[str], special_tokens: bool = False) -> int:
        """Adds tokens that are never split; returns how many were new."""
        tokens = [new_tokens] if isinstance(new_tokens, str) else list(new_tokens)
        add = (
            self.backend_tokenizer.add_special_tokens if special_tokens else self.backend_tokenizer.add_tokens
        )
        return int(add(tokens))

    # ---- vocabulary ----------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Without added tokens; `len(tokenizer)` counts them."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            if found is None and (unknown := self._special.get("unk_token")) is not None:
                found = self.backend_tokenizer.token_to_id(unknown)
            return found
        return [self.convert_tokens_to_ids(t) for t in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        if isinstance(ids, (int, np.integer)):
            return self.backend_tokenizer.id_to_token(int(ids))
        left_out = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.backend_tokenizer.id_to_token(int(i)) for i in ids if int(i) not in left_out]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        decoder = self.backend_tokenizer.decoder
        return str(decoder.decode(list(tokens))) if decoder is not None else " ".join(tokens)

    # ---- text to ids ---------------------------------------------------------------------------------------

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        self.backend_tokenizer.no_truncation()
        return list(self.backend_tokenizer.encode(text, pair, add_special_tokens=add_special_tokens).tokens)

    def encode(self, text: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        return self(text, text_pair, **kwargs)["input_ids"]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Ids of one text (lists), or of a list of texts (lists of lists), or of pairs of texts.

        `padding` is True for the longest of the batch or "max_length"; `truncation` is True, "only_first" or
        "only_second", to `max_length` or the model's own; `return_tensors` is "np" for ndarrays or "dl" for
        dlcore tensors. With `return_overflowing_tokens` what is cut off makes further rows, `stride` tokens
        overlapping, and `overflow_to_sample_mapping` tells whose they are.

        Raises ValueError for texts that are no strings, and for options that cannot be.
        """
        one = isinstance(text, str) or (
            is_split_into_words and bool(text) and isinstance(text[0], str)
        )  # a list of words is one text
        texts = [text] if one else list(text)
        pairs = None if text_pair is None else [text_pair] if one else list(text_pair)
        if pairs is None and texts and isinstance(texts[0], (tuple, list)) and not is_split_into_words:
            texts, pairs = [t for t, _ in texts], [p for _, p in texts]
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(
                f"tokenizer: as many pairs as texts are needed, got {len(texts)} and {len(pairs)}"
            )
        kind = (list, tuple) if is_split_into_words else (str,)
        if not all(isinstance(t, kind) for t in [*texts, *(pairs or [])]):
            raise ValueError(
                "tokenizer: texts must be strings, or lists of words with is_split_into_words=True"
            )
        self._set_truncation(truncation, max_length, stride)
        inputs = texts if pairs is None else list(zip(texts, pairs))
        encodings = self.backend_tokenizer.encode_batch(
            inputs, is_pretokenized=is_split_into_words, add_special_tokens=add_special_tokens
        )
        rows, owner = [], []
        for i, e in enumerate(encodings):
            parts = [e, *(e.overflowing if return_overflowing_tokens else [])]
            rows += parts
            owner += [i] * len(parts)
        names = self.model_input_names
        out: dict[str, Any] = {"input_ids": [list(e.ids) for e in rows]}
        if return_token_type_ids or (return_token_type_ids is None and "token_type_ids" in names):
            out["token_type_ids"] = [list(e.type_ids) for e in rows]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in names):
            out["attention_mask"] = [list(e.attention_mask) for e in rows]
        if return_special_tokens_mask:
            out["special_tokens_mask"] = [list(e.special_tokens_mask) for e in rows]
        if return_offsets_mapping:
            out["offset_mapping"] = [list(e.offsets) for e in rows]
        if return_length:
            out["length"] = [len(e.ids) for e in rows]
        out = self._padded(out, padding, max_length, pad_to_multiple_of, padding_side)
        if padding:
            for e, ids in zip(rows, out["input_ids"]):  # so that word_ids and the rest go with the ids
                e.pad(
                    len(ids),
                    direction=padding_side or self.padding_side,
                    pad_id=self.pad_token_id,
                    pad_token=self.pad_token,
                )
        if return_overflowing_tokens:
            out["overflow_to_sample_mapping"] = owner
        if one and return_tensors is None and not return_overflowing_tokens:
            out = {k: v[0] for k, v in out.items()}
        return BatchEncoding(_as_tensors(out, return_tensors), rows)

    def _set_truncation(self, truncation: bool | str | None, max_length: int | None, stride: int) -> None:
        if truncation in (None, False, "do_not_truncate"):
            self.backend_tokenizer.no_truncation()
            return
        strategy = "longest_first" if truncation is True else str(truncation)
        if strategy not in ("longest_first", "only_first", "only_second"):
            raise ValueError(
                f"tokenizer: truncation must be True, 'longest_first', 'only_first' or 'only_second', "
                f"got {truncation!r}"
            )
        length = self.model_max_length if max_length is None else max_length
        if length >= _NO_LIMIT:
            self.backend_tokenizer.no_truncation()
            return
        self.backend_tokenizer.enable_truncation(
            length, stride=stride, strategy=strategy, direction=self.truncation_side
        )

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Encodings, a dict of lists or a list of dicts, brought to one length."""
        if not isinstance(encoded_inputs, Mapping):
            encoded_inputs = {k: [e[k] for e in encoded_inputs] for k in encoded_inputs[0]}
        rows = {
            k: [list(np.asarray(r).tolist()) for r in v] if np.ndim(v[0]) else list(v)
            for k, v in encoded_inputs.items()
        }
        if "attention_mask" in self.model_input_names:
            rows.setdefault("attention_mask", [[1] * len(r) for r in rows["input_ids"]])
        return BatchEncoding(
            _as_tensors(
                self._padded(rows, padding, max_length, pad_to_multiple_of, padding_side), return_tensors
            )
        )

    def _padded(
        self,
        rows: dict[str, Any],
        padding: bool | str,
        max_length: int | None,
        multiple: int | None,
        side: str | None,
    ) -> dict[str, Any]:
        if padding in (False, "do_not_pad") or not rows["input_ids"]:
            return rows
        if padding not in (True, "longest", "max_length"):
            raise ValueError(
                f"tokenizer: padding must be True, False, 'longest' or 'max_length', got {padding!r}"
            )
        side = self.padding_side if side is None else side
        if side not in ("left", "right"):
            raise ValueError(f"tokenizer: padding_side must be 'left' or 'right', got {side!r}")
        if self.pad_token is None:
            raise ValueError(
                "tokenizer: padding needs a pad_token; set one: tokenizer.pad_token = tokenizer.eos_token"
            )
        longest = max(map(len, rows["input_ids"]))
        length = longest
        if padding == "max_length":
            length = max_length if max_length is not None else self.model_max_length
            length = longest if length >= _NO_LIMIT else length
        if multiple:
            length = -(-length // multiple) * multiple
        fill: dict[str, Any] = {
            "input_ids": self.pad_token_id, "attention_mask": 0, "token_type_ids": 0,
            "special_tokens_mask": 1, "offset_mapping": (0, 0), "labels": -100,
        }  # fmt: skip
        for name, values in rows.items():
            if name not in fill:
                continue
            for i, row in enumerate(values):
                more = [fill[name]] * (length - len(row))
                values[i] = row + more if side == "right" else more + row
        return rows

    # ---- ids to text ---------------------------------------------------------------------------------------

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """The text of ids; of several rows of ids, a list of texts."""
        if hasattr(token_ids, "numpy"):
            token_ids = token_ids.numpy()
        if isinstance(token_ids, (int, np.integer)):
            token_ids = [token_ids]
        if len(token_ids) and np.ndim(token_ids[0]):
            return self.batch_decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces)
        ids = [int(i) for i in token_ids]
        text = str(self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = bool(self.init_kwargs.get("clean_up_tokenization_spaces", False))
        if clean_up_tokenization_spaces:
            for mark in (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"):
                text = text.replace(f" {mark}", mark)
            text = text.replace(" ' ", "'")
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        if hasattr(sequences, "numpy"):
            sequences = sequences.numpy()
        return [self.decode(s, skip_special_tokens, clean_up_tokenization_spaces) for s in sequences]

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "apply_chat_template: templates are programs in Jinja, which are not run; write the prompt out"
        )

    # ---- files ---------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        write_text(folder / "tokenizer.json", self.backend_tokenizer.to_str(pretty=True))
        config = {
            **{k: v for k, v in self.init_kwargs.items() if k != "name_or_path"},
            **self.special_tokens_map,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "model_input_names": self.model_input_names,
        }
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")
        write_text(folder / "special_tokens_map.json", json.dumps(self.special_tokens_map, indent=2) + "\n")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, special_tokens={self.special_tokens_map})"
        )


def _as_tensors(rows: dict[str, Any], kind: str | None) -> dict[str, Any]:
    if kind is None:
        return rows
    if kind not in ("np", "dl"):
        raise ValueError(
            f"tokenizer: return_tensors must be 'np' (ndarrays), 'dl' (dlcore tensors) or None, got {kind!r}"
        )
    out = {}
    for name, values in rows.items():
        try:
            a = np.asarray(values, np.int64)
        except ValueError:
            raise ValueError(
                f"tokenizer: the rows of {name} must have one length to become a tensor; pass padding=True"
            ) from None
        out[name] = tensor(a) if kind == "dl" else a
    return out


# ---- reading files -----------------------------------------------------------------------------------------


def _word_piece(vocab_file: Path, config: dict[str, Any]) -> Any:
    """BERT's: vocab.txt, one token a line."""
    t = _library()
    lines = vocab_file.read_text(encoding="utf-8").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    vocab = {line.rstrip("\r"): i for i, line in enumerate(lines)}
    for name, token in zip(("unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
                           ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")):  # fmt: skip
        config.setdefault(name, token)
    text = {n: v["content"] if isinstance(v, dict) else v for n, v in config.items() if n in _SPECIAL}
    if text["unk_token"] not in vocab:
        raise ValueError(f"AutoTokenizer: {vocab_file.name} must have the token {text['unk_token']!r}")
    backend = t.Tokenizer(
        t.models.WordPiece(vocab, unk_token=text["unk_token"], max_input_chars_per_word=100)
    )
    backend.normalizer = t.normalizers.BertNormalizer(
        lowercase=config.get("do_lower_case", True),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = t.pre_tokenizers.BertPreTokenizer()
    backend.decoder = t.decoders.WordPiece(prefix="##")
    cls, sep = text["cls_token"], text["sep_token"]
    backend.post_processor = t.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return backend


def _byte_bpe(vocab_file: Path, merges_file: Path, config: dict[str, Any]) -> Any:
    """GPT-2's: vocab.json and merges.txt, on bytes."""
    t = _library()
    merges = []
    for line in merges_file.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#version"):
            pair = line.split(" ")
            if len(pair) != 2:
                raise ValueError(f"AutoTokenizer: {merges_file.name} must hold pairs of tokens, got {line!r}")
            merges.append((pair[0], pair[1]))
    for name in ("bos_token", "eos_token", "unk_token"):
        config.setdefault(name, "<|endoftext|>")
    backend = t.Tokenizer(t.models.BPE({str(k): int(v) for k, v in read_json(vocab_file).items()}, merges))
    backend.pre_tokenizer = t.pre_tokenizers.ByteLevel(add_prefix_space=config.get("add_prefix_space", False))
    backend.decoder = t.decoders.ByteLevel()
    backend.post_processor = t.processors.ByteLevel(trim_offsets=False)
    return backend


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Protocol buffers' wire format: (number of the field, integer or bytes)."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError("AutoTokenizer: the sentencepiece model is corrupt")
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                return value, at

    at = 0
    while at < len(data):
        tag, at = varint(at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(at)
            yield tag >> 3, value
            continue
        size, at = varint(at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or size > len(data) - at:
            raise ValueError("AutoTokenizer: the sentencepiece model is corrupt")
        yield tag >> 3, data[at : at + size]
        at += size


_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6


class _SentencePiece:
    """A .model file of sentencepiece (sentencepiece_model.proto): pieces with scores and kinds, and the
    rules.
    """

    def __init__(self, file: Path) -> None:
        self.pieces: list[tuple[str, float, int]] = []
        self.bpe = self.byte_fallback = False
        self.charsmap = b""
        self.dummy_prefix = self.remove_spaces = True
        for number, value in _fields(file.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                piece, score, kind = "", 0.0, _NORMAL
                for n, v in _fields(value):
                    if n == 1:
                        piece = v.decode("utf-8")
                    elif n == 2:
                        score = struct.unpack("<f", v)[0]
                    elif n == 3:
                        kind = v
                self.pieces.append((piece, score, kind))
            elif number == 2 and isinstance(value, bytes):
                for n, v in _fields(value):
                    if n == 3:
                        self.bpe = v == 2
                    elif n == 35:
                        self.byte_fallback = bool(v)
            elif number == 3 and isinstance(value, bytes):
                for n, v in _fields(value):
                    if n == 2:
                        self.charsmap = v
                    elif n == 3:
                        self.dummy_prefix = bool(v)
                    elif n == 4:
                        self.remove_spaces = bool(v)
        if not self.pieces:
            raise ValueError(f"AutoTokenizer: the sentencepiece model must have pieces: {file}")

    def first(self, kind: int) -> int | None:
        return next((i for i, p in enumerate(self.pieces) if p[2] == kind), None)

    def merges(self) -> list[tuple[str, str]]:
        """Each piece is the merge of two known ones; the better its score, the earlier."""
        known = {p: s for p, s, _ in self.pieces}
        rank = {p: i for i, (p, _, _) in enumerate(self.pieces)}
        out = []
        for piece, score in known.items():
            pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
            pairs = sorted(
                [p for p in pairs if p[0] in known and p[1] in known], key=lambda p: (rank[p[0]], rank[p[1]])
            )
            out += [(score, pair) for pair in pairs]
        return [pair for _, pair in sorted(out, key=lambda item: -item[0])]


def _sentence_piece(file: Path, config: dict[str, Any], family: str) -> Any:
    t = _library()
    model = _SentencePiece(file)
    unknown = model.first(_UNKNOWN)
    names = {p[0]: i for i, p in enumerate(model.pieces)}
    if unknown is not None:
        config.setdefault("unk_token", model.pieces[unknown][0])
    albert = family == "albert"
    for name, tokens in (
        ("bos_token", ("[CLS]" if albert else "<s>",)),
        ("eos_token", ("[SEP]" if albert else "</s>",)),
        ("pad_token", ("<pad>",)),
        ("cls_token", ("[CLS]",)),
        ("sep_token", ("[SEP]",)),
        ("mask_token", ("[MASK]", "<mask>")),
    ):
        found = next((k for k in tokens if k in names), None)
        if found is not None:
            config.setdefault(name, found)
    if model.bpe:
        backend = t.Tokenizer(
            t.models.BPE(
                {p[0]: i for i, p in enumerate(model.pieces)}, model.merges(), fuse_unk=True,
                byte_fallback=model.byte_fallback,
                unk_token=None if unknown is None else model.pieces[unknown][0],
            )
        )  # fmt: skip
        steps = [t.normalizers.Prepend("▁")] if model.dummy_prefix else []
        backend.normalizer = t.normalizers.Sequence([*steps, t.normalizers.Replace(" ", "▁")])
        backend.decoder = t.decoders.Sequence(
            [
                t.decoders.Replace("▁", " "), t.decoders.ByteFallback(), t.decoders.Fuse(),
                *([t.decoders.Strip(" ", 1, 0)] if model.dummy_prefix else []),
            ]
        )  # fmt: skip
    else:
        backend = t.Tokenizer(
            t.models.Unigram([(p[0], p[1]) for p in model.pieces], unknown, byte_fallback=model.byte_fallback)
        )
        steps = [t.normalizers.Precompiled(model.charsmap)] if model.charsmap else []
        if albert:
            steps = [
                t.normalizers.Replace("``", '"'), t.normalizers.Replace("''", '"'), t.normalizers.NFKD(),
                t.normalizers.StripAccents(), t.normalizers.Lowercase(), *steps,
            ]  # fmt: skip
        if model.remove_spaces:
            steps += [t.normalizers.Strip(), t.normalizers.Replace(t.Regex(" {2,}"), " ")]
        backend.normalizer = t.normalizers.Sequence(steps)
        scheme = "always" if model.dummy_prefix else "never"
        backend.pre_tokenizer = t.pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
        backend.decoder = t.decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    controls = [p[0] for p in model.pieces if p[2] in (_CONTROL, _UNKNOWN)]
    backend.add_special_tokens(controls)
    user = [p[0] for p in model.pieces if p[2] == _USER]
    backend.add_tokens(user)
    _close_sentences(backend, config, family)
    return backend


def _close_sentences(backend: Any, config: dict[str, Any], family: str) -> None:
    """The special tokens that the family puts around a text."""
    t = _library()

    def template(single: str, pair: str, tokens: Sequence[str]) -> Any:
        return t.processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(k, backend.token_to_id(k)) for k in tokens]
        )

    bos, eos = config.get("bos_token"), config.get("eos_token")
    if family == "t5":
        config.setdefault("pad_token", "<pad>")
        extra = int(config.get("extra_ids", 100))
        names = [f"<extra_id_{i}>" for i in range(extra)]
        backend.add_special_tokens([t.AddedToken(n, special=True) for n in reversed(names)])
        config.setdefault("additional_special_tokens", names)
        backend.post_processor = template(f"$A {eos}", f"$A {eos} $B {eos}", [str(eos)])
    elif family == "albert":
        cls, sep = str(config["cls_token"]), str(config["sep_token"])
        backend.post_processor = template(
            f"{cls}:0 $A:0 {sep}:0", f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1", [cls, sep]
        )
    elif bos is not None and config.get("add_bos_token", True):
        end = f" {eos}:0" if config.get("add_eos_token") else ""
        pair_end = f" {eos}:1" if config.get("add_eos_token") else ""
        tokens = [str(bos), *([str(eos)] if end else [])]
        backend.post_processor = template(
            f"{bos}:0 $A:0{end}", f"{bos}:0 $A:0{end} {bos}:1 $B:1{pair_end}", tokens
        )


_FAMILY_OF_CLASS = {
    "BertTokenizer": "bert", "GPT2Tokenizer": "gpt2", "T5Tokenizer": "t5", "AlbertTokenizer": "albert",
    "LlamaTokenizer": "llama",
}  # fmt: skip


class AutoTokenizer:
    """The tokenizer of a folder, or of a name on the hub."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer: use AutoTokenizer.from_pretrained(path)")

    @staticmethod
    def from_pretrained(path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedTokenizer:
        """From tokenizer.json, vocab.txt, vocab.json with merges.txt, spiece.model or tokenizer.model.

        `kwargs` replace values of tokenizer_config.json: special tokens, padding_side, model_max_length ...

        Raises FileNotFoundError where there is none of these, ValueError where one is corrupt, ImportError
        without the tokenizers library.
        """
        hub = {k: kwargs.pop(k) for k in HUB_OPTIONS if k in kwargs}
        kwargs.pop("use_fast", None)
        t = _library()
        found = {}
        for name in (
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "vocab.txt",
            "vocab.json", "merges.txt", "spiece.model", "tokenizer.model",
        ):  # fmt: skip
            file = find_optional(path, name, **hub)
            if file is not None:
                found[name] = file
        config: dict[str, Any] = {}
        if "special_tokens_map.json" in found:
            config |= read_json(found["special_tokens_map.json"])
        if "tokenizer_config.json" in found:
            config |= read_json(found["tokenizer_config.json"])
        config |= kwargs
        config["name_or_path"] = os.fspath(path)
        named = str(config.get("tokenizer_class") or "").removesuffix("Fast")
        family = _FAMILY_OF_CLASS.get(named, "")
        if not family and "config.json" in found:
            family = str(read_json(found["config.json"]).get("model_type", ""))
        piece = next((found[n] for n in ("spiece.model", "tokenizer.model") if n in found), None)
        try:
            if "tokenizer.json" in found:
                backend = t.Tokenizer.from_file(str(found["tokenizer.json"]))
                backend.no_padding()
                backend.no_truncation()
            elif "vocab.txt" in found:
                backend = _word_piece(found["vocab.txt"], config)
                family = family or "bert"
            elif "vocab.json" in found and "merges.txt" in found:
                backend = _byte_bpe(found["vocab.json"], found["merges.txt"], config)
            elif piece is not None:
                backend = _sentence_piece(piece, config, family)
            else:
                raise FileNotFoundError(
                    "AutoTokenizer: there must be tokenizer.json, vocab.txt, vocab.json with merges.txt, "
                    f"or a sentencepiece model, got none in {os.fspath(path)!r}"
                )
        except (ValueError, FileNotFoundError):
            raise
        except Exception as e:  # the library's errors are plain exceptions
            raise ValueError(f"AutoTokenizer: the files of {os.fspath(path)!r} cannot be read: {e}") from e
        types = ["token_type_ids"] if family == "bert" else []
        names = ["input_ids", *types, "attention_mask"]
        return PreTrainedTokenizer(backend, config, config.get("model_input_names") or names)
