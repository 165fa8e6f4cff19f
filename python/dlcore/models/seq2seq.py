"""Seq2Seq: a recurrent encoder and decoder with attention, as translation was before the Transformer.

D. Bahdanau, K. Cho, Y. Bengio: Neural machine translation by jointly learning to align and translate (ICLR
2015), "additive"; T. Luong, H. Pham, C. Manning: Effective approaches to attention-based neural machine
translation (EMNLP 2015), "multiplicative".

B batch, S source and T target tokens, N layers, E embedding, H hidden size, M = H, or 2 H of both directions.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.functional.attention import attention
from dlcore.models.base import PreTrainedModel
from dlcore.models.beam import Translator
from dlcore.models.config import PreTrainedConfig
from dlcore.models.losses import shift_right
from dlcore.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from dlcore.outputs import Seq2SeqLMOutput
from dlcore.tensor import Tensor, tensor

__all__ = ["Seq2Seq", "Seq2SeqConfig"]

State = tuple[Tensor, ...]  # (h,) of a GRU, (h, c) of an LSTM, (N, B, H) each


class Seq2SeqConfig(PreTrainedConfig):
    """`rnn_type` "gru" or "lstm", `attention` "additive" or "multiplicative"; ValueError for others.

    >>> Seq2SeqConfig(hidden_size=8).attention
    'multiplicative'
    """

    model_type = "seq2seq"
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 8000,
        "source_vocab_size": None,  # as vocab_size
        "embed_dim": 256,
        "hidden_size": 256,
        "num_layers": 1,
        "rnn_type": "gru",
        "attention": "multiplicative",
        "bidirectional": True,
        "dropout": 0.1,
        "label_smoothing": 0.0,
        "is_encoder_decoder": True,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }

    source_vocab_size: int | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.source_vocab_size is None:
            self.source_vocab_size = self.vocab_size
        for name, known in (("rnn_type", ("gru", "lstm")), ("attention", ("additive", "multiplicative"))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Seq2SeqConfig: {name} must be {' or '.join(map(repr, known))}, "
                    f"got {getattr(self, name)!r}"
                )


class _Source:
    """What a decoder looks at: the encoder's states (B, S, M), their projection, and where padding begins."""

    def __init__(self, states: Tensor, keys: Tensor | None, lengths: Tensor | None) -> None:
        self.states, self.keys, self.lengths = states, keys, lengths
        self.unseen = None  # (B, S)
        if lengths is not None:
            self.unseen = tensor(np.arange(states.shape[1]) >= lengths.numpy()[:, None])


class _Encoder(nn.Module):
    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        h, n = config.hidden_size, config.num_layers
        both = 2 if config.bidirectional else 1
        self.embed_tokens = nn.Embedding(config.source_vocab_size or 0, config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.rnn = (nn.LSTM if config.rnn_type == "lstm" else nn.GRU)(
            config.embed_dim, h, n, batch_first=True, dropout=config.dropout if n > 1 else 0.0,
            bidirectional=config.bidirectional,
        )  # fmt: skip
        self.bridge = nn.ModuleList(
            [nn.Linear(both * h, h) for _ in range(2 if config.rnn_type == "lstm" else 1)]
        )

    def forward(self, input_ids: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        """(B, S, M), and the state that the decoder begins with."""
        x: Any = self.dropout(self.embed_tokens(input_ids))  # (B, S, E)
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, last = self.rnn(x)
        if lengths is not None:
            y, _ = pad_packed_sequence(y, batch_first=True, total_length=input_ids.shape[1])
        ends = last if isinstance(last, tuple) else (last,)
        states = []
        for i, (end, bridge) in enumerate(zip(ends, self.bridge)):
            n, b, h = end.shape  # layers times directions
            layers = self.rnn.num_layers
            end = end.reshape(layers, n // layers, b, h).permute(0, 2, 1, 3).reshape(layers, b, -1)
            end = bridge(end)  # (N, B, H)
            states.append(F.tanh(end) if i == 0 else end)
        return y, tuple(states)


class _Multiplicative(nn.Module):
    """h = RNN(y), all steps in one call; c = softmax(h W memoryᵀ) memory; readout tanh(W [c; h])."""

    def __init__(self, config: Seq2SeqConfig, width: int) -> None:
        super().__init__()
        h, n = config.hidden_size, config.num_layers
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.rnn = (nn.LSTM if config.rnn_type == "lstm" else nn.GRU)(
            config.embed_dim, h, n, batch_first=True, dropout=config.dropout if n > 1 else 0.0
        )
        self.score = nn.Linear(h, width, bias=False)
        self.readout = nn.Linear(width + h, h)

    def look(self, states: Tensor, lengths: Tensor | None) -> _Source:
        return _Source(states, None, lengths)

    def forward(self, ids: Tensor, source: _Source, state: State) -> tuple[Tensor, State]:
        x = self.dropout(self.embed_tokens(ids))  # (B, T, E)
        begin: Any = state if len(state) > 1 else state[0]
        y, last = self.rnn(x, begin)  # (B, T, H)
        memory = source.states.unsqueeze(1)  # (B, 1, S, M)
        query = self.score(y).unsqueeze(1)  # (B, 1, T, M)
        context = attention(query, memory, memory, None, source.lengths, False, 1.0).squeeze(1)
        out: Tensor = self.dropout(F.tanh(self.readout(F.cat([context, y], -1))))  # (B, T, H)
        return out, last if isinstance(last, tuple) else (last,)


class _Additive(nn.Module):
    """Step by step, since each reads what the one before looked for: c = softmax(vᵀ tanh(W s + U memory))
    memory, s = RNN([y; c], s); readout tanh(W [s; y; c])."""

    def __init__(self, config: Seq2SeqConfig, width: int) -> None:
        super().__init__()
        e, h, n = config.embed_dim, config.hidden_size, config.num_layers
        self.embed_tokens = nn.Embedding(config.vocab_size, e)
        self.dropout = nn.Dropout(config.dropout)
        cell = nn.LSTMCell if config.rnn_type == "lstm" else nn.GRUCell
        self.cells = nn.ModuleList([cell(h if i else e + width, h) for i in range(n)])
        self.query = nn.Linear(h, h, bias=False)
        self.key = nn.Linear(width, h)
        self.score = nn.Linear(h, 1, bias=False)
        self.readout = nn.Linear(h + e + width, h)

    def look(self, states: Tensor, lengths: Tensor | None) -> _Source:
        return _Source(states, self.key(states), lengths)

    def _context(self, source: _Source, query: Tensor) -> Tensor:
        assert source.keys is not None
        scores = self.score(F.tanh(source.keys + self.query(query).unsqueeze(1))).squeeze(-1)  # (B, S)
        if source.unseen is not None:
            scores = scores.masked_fill(source.unseen, -math.inf)
        return (F.softmax(scores, -1).unsqueeze(1) @ source.states).squeeze(1)  # (B, M)

    def forward(self, ids: Tensor, source: _Source, state: State) -> tuple[Tensor, State]:
        y = self.dropout(self.embed_tokens(ids))  # (B, T, E)
        layers = [[part[i] for part in state] for i in range(len(self.cells))]
        tops, contexts = [], []
        for t in range(y.shape[1]):
            context = self._context(source, layers[-1][0])
            x = F.cat([y[:, t], context], -1)  # (B, E + M)
            for i, cell in enumerate(self.cells):
                if len(state) > 1:
                    layers[i] = list(cell(x, tuple(layers[i])))
                else:
                    layers[i] = [cell(x, layers[i][0])]
                x = layers[i][0] if i + 1 == len(self.cells) else self.dropout(layers[i][0])
            tops.append(x)
            contexts.append(context)
        read = F.cat([F.stack(tops, 1), y, F.stack(contexts, 1)], -1)  # (B, T, H + E + M)
        last = tuple([F.stack([layer[k] for layer in layers], 0) for k in range(len(state))])
        return self.dropout(F.tanh(self.readout(read))), last


class Seq2Seq(PreTrainedModel, Translator):
    """Logits (B, T, V) of the target's next token, from input_ids (B, S) and decoder_input_ids (B, T).

    With `labels` (B, T), -100 to leave one out, the decoder reads them shifted, and `loss` is the mean
    cross-entropy, its labels smoothed in training. attention_mask (B, S) is 1 for tokens and 0 for padding,
    which must be at the end. With multiplicative attention each stack is one kernel call over the sequence.

    Raises ValueError for padding elsewhere.

    >>> import dlcore
    >>> model = Seq2Seq(Seq2SeqConfig(vocab_size=9, embed_dim=4, hidden_size=6)).eval()
    >>> ids = dlcore.tensor([[3, 4, 2]])
    >>> model(ids, labels=ids).logits.shape, model.translate(ids, max_length=3).shape[0]
    ((1, 3, 9), 1)
    """

    config_class = Seq2SeqConfig
    config: Seq2SeqConfig

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__(config)
        width = config.hidden_size * (2 if config.bidirectional else 1)
        self.encoder = _Encoder(config)
        decoder = _Additive if config.attention == "additive" else _Multiplicative
        self.decoder: _Additive | _Multiplicative = decoder(config, width)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As each layer draws its own."""
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.decoder.embed_tokens = value

    @staticmethod
    def _lengths(attention_mask: Tensor | None) -> Tensor | None:
        if attention_mask is None:
            return None
        seen = attention_mask.numpy() != 0
        count = seen.sum(1)
        if seen.ndim != 2 or (seen != (np.arange(seen.shape[1]) < count[:, None])).any() or not count.all():
            raise ValueError(
                "Seq2Seq: attention_mask must be (batch, length), ones and then zeros, a token a row at least"
            )
        return None if seen.all() else tensor(count.astype(np.int64))

    def _read(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None, State]:
        lengths = self._lengths(attention_mask)
        states, first = self.encoder(input_ids, lengths)
        return states, lengths, first

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        config = self.config
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("Seq2Seq: decoder_input_ids or labels must be given")
            decoder_input_ids = shift_right(labels, config.decoder_start_token_id, config.pad_token_id)
        states, lengths, first = self._read(input_ids, attention_mask)
        x, _ = self.decoder(decoder_input_ids, self.decoder.look(states, lengths), first)
        logits = self.lm_head(x)  # (B, T, V)
        loss = None
        if labels is not None:
            smoothing = config.label_smoothing if self.training else 0.0
            rows = logits.reshape(-1, logits.shape[-1])
            loss = F.cross_entropy(rows, labels.reshape(-1), label_smoothing=smoothing)
        out = Seq2SeqLMOutput(loss=loss, logits=logits, encoder_last_hidden_state=states)
        return out.to_tuple() if return_dict is False else out

    def _start(self, input_ids: Tensor, attention_mask: Tensor | None, beams: int) -> Any:
        states, lengths, first = self._read(input_ids, attention_mask)
        if beams > 1:
            states = states.repeat_interleave(beams, 0)
            lengths = None if lengths is None else lengths.repeat_interleave(beams, 0)
            first = tuple([s.repeat_interleave(beams, 1) for s in first])
        return self.decoder.look(states, lengths), first

    def _step(self, state: Any, tokens: np.ndarray[Any, Any]) -> tuple[Tensor, Any]:
        source, before = state
        x, after = self.decoder(tensor(tokens[:, None]), source, before)
        return self.lm_head(x[:, 0]), (source, after)

    def _reorder(self, state: Any, rows: np.ndarray[Any, Any]) -> Any:
        source, current = state  # beams of one source share what they look at
        index = tensor(rows)
        return source, tuple([F.index_select(s, 1, index) for s in current])
