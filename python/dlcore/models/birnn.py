"""Bidirectional recurrent taggers and classifiers of texts.

A. Graves, J. Schmidhuber: Framewise phoneme classification with bidirectional LSTM (Neural Networks, 2005);
Z. Huang, W. Xu, K. Yu: Bidirectional LSTM-CRF models for sequence tagging (2015), for `crf=True`.

B batch, T tokens, E embedding, F further features, H hidden size of each direction, C labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.autograd import no_grad
from dlcore.models.base import PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.crf import CRF
from dlcore.models.losses import classification_loss, token_loss
from dlcore.models.masks import valid_steps
from dlcore.outputs import SequenceClassifierOutput, TokenClassifierOutput
from dlcore.tensor import Tensor, tensor

__all__ = ["BiGRUClassifier", "BiGRUTagger", "BiLSTMClassifier", "BiLSTMTagger", "BiRNNConfig"]


class BiRNNConfig(PreTrainedConfig):
    """What all four models read: `num_labels` C; `feature_size` F, features that come beside each token's
    embedding; `dropout` on the embeddings, between layers and before the output; `crf` of a tagger, `pooling`
    of a classifier: "last", the last states of both directions, or "mean" or "max" over the tokens.

    Raises ValueError for sizes below 1, a dropout outside [0, 1] and other poolings.

    >>> BiRNNConfig(num_labels=17, crf=True).hidden_size
    128
    """

    model_type = "birnn"
    defaults: ClassVar[dict[str, Any]] = {
        "vocab_size": 10000,
        "embed_dim": 128,
        "feature_size": 0,
        "hidden_size": 128,
        "num_layers": 1,
        "dropout": 0.1,
        "crf": False,
        "pooling": "last",
        "ignore_index": -100,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, least in (
            ("vocab_size", 1), ("embed_dim", 1), ("feature_size", 0), ("hidden_size", 1), ("num_layers", 1),
            ("num_labels", 1),
        ):  # fmt: skip
            if (value := getattr(self, name)) < least:
                raise ValueError(f"BiRNNConfig: {name} must be at least {least}, got {value!r}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"BiRNNConfig: dropout must lie in [0, 1], got {self.dropout!r}")
        if self.pooling not in ("last", "mean", "max"):
            raise ValueError(f"BiRNNConfig: pooling must be 'last', 'mean' or 'max', got {self.pooling!r}")


class _BiRNN(PreTrainedModel):
    """Embedding, recurrent layers of both directions, and the layer of the labels."""

    config_class = BiRNNConfig
    _layer: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(self, config: BiRNNConfig) -> None:
        super().__init__(config)
        c: Any = config
        self.embed_tokens = nn.Embedding(c.vocab_size, c.embed_dim, padding_idx=c.pad_token_id)
        self.dropout = nn.Dropout(c.dropout)
        self.rnn: nn.LSTM | nn.GRU = self._layer(
            c.embed_dim + c.feature_size,
            c.hidden_size,
            c.num_layers,
            batch_first=True,
            dropout=c.dropout if c.num_layers > 1 else 0.0,
            bidirectional=True,
        )
        self.classifier = nn.Linear(2 * c.hidden_size, c.num_labels)

    def _init_weights(self, module: nn.Module) -> None:
        """As each layer draws its own, but embeddings of norm 1, so that features beside them count."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, module.embedding_dim**-0.5)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight.detach()[module.padding_idx])
            return
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embed_tokens = value

    def _read(
        self, input_ids: Tensor, attention_mask: Any, lengths: Any, features: Tensor | None
    ) -> tuple[Tensor, Tensor, np.ndarray[Any, Any]]:
        """The states (B, T, 2 H), zeros beyond the lengths; the last ones (B, 2 H); and the lengths."""
        name, size = self._get_name(), self.config.feature_size
        if input_ids.ndim != 2 or input_ids.shape[1] < 1:
            raise ValueError(f"{name}: input_ids must be (B, T), got {input_ids.shape}")
        n = valid_steps(name, input_ids.shape[0], input_ids.shape[1], attention_mask, lengths)
        x = self.embed_tokens(input_ids)  # (B, T, E)
        if (features is None) != (size == 0) or (
            features is not None and features.shape != (*x.shape[:2], size)
        ):
            raise ValueError(
                f"{name}: features must be {(*x.shape[:2], size) if size else None}, "
                f"got {None if features is None else features.shape}"
            )
        if features is not None:
            x = F.cat([x, features], -1)  # (B, T, E + F)
        y, last = self.rnn(self.dropout(x), lengths=n)
        h = last[0] if isinstance(last, tuple) else last  # (2 layers, B, H), the top layer's two at the end
        return y, F.cat([h[-2], h[-1]], -1), n


class _Tagger(_BiRNN):
    def __init__(self, config: BiRNNConfig) -> None:
        super().__init__(config)
        self.crf = CRF(config.num_labels) if config.crf else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        lengths: Any = None,
        features: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        y, _, n = self._read(input_ids, attention_mask, lengths, features)
        logits = self.classifier(self.dropout(y))  # (B, T, C)
        loss, ignore = None, self.config.ignore_index
        if labels is not None:
            if labels.shape != input_ids.shape:
                raise ValueError(f"{self._get_name()}: labels must be {input_ids.shape}, got {labels.shape}")
            if self.crf is not None:
                loss = self.crf(logits, labels, lengths=n, ignore_index=ignore, reduction="token_mean")
            else:
                beyond = tensor(np.arange(labels.shape[1]) >= n[:, None])
                loss = token_loss(logits, labels.masked_fill(beyond, ignore), ignore)
        output = TokenClassifierOutput(loss=loss, logits=logits)
        return output if self._wants_dict(return_dict) else output.to_tuple()

    def decode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        lengths: Any = None,
        features: Tensor | None = None,
    ) -> list[list[int]]:
        """The labels of each sample's tokens: of the best path with a CRF, else the best of each token."""
        with no_grad():
            out: Any = self(input_ids, attention_mask, lengths=lengths, features=features, return_dict=True)
        n = valid_steps(self._get_name(), out.logits.shape[0], out.logits.shape[1], attention_mask, lengths)
        if self.crf is not None:
            return self.crf.decode(out.logits, lengths=n)
        best = out.logits.numpy().argmax(-1)
        return [row[:length].tolist() for row, length in zip(best, n)]

    if TYPE_CHECKING:
        __call__ = forward


class BiLSTMTagger(_Tagger):
    """logits_t = W [→h_t; ←h_t] + b over an LSTM of both directions; with config.crf scored by a CRF.

    forward(input_ids (B, T), attention_mask=None, labels=None, *, lengths=None, features=None): a mask (B, T)
    of 1 for tokens and 0 for padding at their right, or lengths (B,); features (B, T, config.feature_size).
    Gives logits (B, T, C), and for labels (B, T) the loss: mean cross-entropy over the labels that are not
    config.ignore_index, or the CRF's -log p over the number of tokens. `decode` gives each sample's labels.

    Raises ValueError for shapes, for masks with padding elsewhere and lengths outside [1, T]; IndexError for
    ids and labels out of range.

    >>> import dlcore
    >>> model = BiLSTMTagger(BiRNNConfig(vocab_size=20, embed_dim=4, hidden_size=8, num_labels=3, crf=True))
    >>> ids = dlcore.tensor([[3, 4, 5], [6, 7, 0]])
    >>> model(ids, lengths=[3, 2]).logits.shape, [len(tags) for tags in model.decode(ids, lengths=[3, 2])]
    ((2, 3, 3), [3, 2])
    """

    _layer = nn.LSTM


class BiGRUTagger(_Tagger):
    """As BiLSTMTagger, with a GRU.

    >>> import dlcore
    >>> model = BiGRUTagger(BiRNNConfig(vocab_size=20, embed_dim=4, hidden_size=8, num_labels=3))
    >>> model(dlcore.tensor([[3, 4, 5]]), labels=dlcore.tensor([[0, 2, -100]])).loss.shape
    ()
    """

    _layer = nn.GRU


class _Classifier(_BiRNN):
    def __init__(self, config: BiRNNConfig) -> None:
        super().__init__(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        lengths: Any = None,
        features: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        y, last, n = self._read(input_ids, attention_mask, lengths, features)
        if self.config.pooling == "mean":
            last = y.sum(1) / tensor(n[:, None].astype(y.dtype))
        elif self.config.pooling == "max":
            beyond = tensor((np.arange(y.shape[1]) >= n[:, None])[:, :, None])
            last = F.amax(y.masked_fill(beyond, -np.inf), 1)
        logits = self.classifier(self.dropout(last))  # (B, C)
        loss = None if labels is None else classification_loss(self.config, logits, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output if self._wants_dict(return_dict) else output.to_tuple()

    def decode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        lengths: Any = None,
        features: Tensor | None = None,
    ) -> list[int]:
        """The label of each sample."""
        with no_grad():
            out: Any = self(input_ids, attention_mask, lengths=lengths, features=features, return_dict=True)
        labels: list[int] = out.logits.argmax(-1).tolist()
        return labels

    if TYPE_CHECKING:
        __call__ = forward


class BiLSTMClassifier(_Classifier):
    """logits = W pool(→h, ←h) + b over an LSTM of both directions, pooled as config.pooling says.

    forward(input_ids (B, T), attention_mask=None, labels=None, *, lengths=None, features=None), the mask,
    lengths and features as of BiLSTMTagger. Gives logits (B, C), and for labels the loss by
    config.problem_type: cross-entropy for integers (B,). `decode` gives each sample's label.

    Raises as BiLSTMTagger does.

    >>> import dlcore
    >>> config = BiRNNConfig(vocab_size=20, embed_dim=4, hidden_size=8, pooling="max")
    >>> BiLSTMClassifier(config)(dlcore.tensor([[3, 4, 5], [6, 7, 0]]), lengths=[3, 2]).logits.shape
    (2, 2)
    """

    _layer = nn.LSTM


class BiGRUClassifier(_Classifier):
    """As BiLSTMClassifier, with a GRU.

    >>> import dlcore
    >>> model = BiGRUClassifier(BiRNNConfig(vocab_size=20, embed_dim=4, hidden_size=8))
    >>> model(dlcore.tensor([[3, 4, 5]]), labels=dlcore.tensor([1])).loss.shape
    ()
    """

    _layer = nn.GRU
