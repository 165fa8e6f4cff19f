"""Speech recognition by connectionist temporal classification: an acoustic model, its decoders, error rates.

A. Graves, S. Fernández, F. Gomez, J. Schmidhuber: Connectionist temporal classification (ICML 2006);
A. Hannun, A. Maas, D. Jurafsky, A. Ng: First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs (2014), for the search over prefixes.

B batch, T frames, F features, H hidden size of each direction, S labels, C symbols with the blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcore import functional as F
from dlcore import nn
from dlcore.autograd import no_grad
from dlcore.models.base import PreTrainedModel
from dlcore.models.config import PreTrainedConfig
from dlcore.models.masks import valid_steps
from dlcore.outputs import ModelOutput
from dlcore.tensor import Tensor, tensor

__all__ = [
    "BiLSTMForCTC",
    "CTCConfig",
    "CTCOutput",
    "character_error_rate",
    "ctc_beam_search",
    "ctc_greedy_search",
    "edit_distance",
]


class CTCConfig(PreTrainedConfig):
    """`feature_size` F, `vocab_size` C with the blank, symbol `pad_token_id`; `subsampling` 1 for none, else
    the stride of a convolution of `conv_kernel` frames to `conv_channels` before the recurrent layers.

    Raises ValueError for sizes below 1, an even kernel and a blank outside [0, C).

    >>> CTCConfig(vocab_size=29, subsampling=2).conv_channels
    128
    """

    model_type = "bilstm_ctc"
    defaults: ClassVar[dict[str, Any]] = {
        "feature_size": 39,
        "vocab_size": 32,
        "hidden_size": 128,
        "num_layers": 2,
        "dropout": 0.1,
        "subsampling": 1,
        "conv_channels": 128,
        "conv_kernel": 5,
        "ctc_zero_infinity": True,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in (
            "feature_size", "vocab_size", "hidden_size", "num_layers", "subsampling", "conv_channels",
            "conv_kernel",
        ):  # fmt: skip
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"CTCConfig: {name} must be at least 1, got {value!r}")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"CTCConfig: conv_kernel must be odd, got {self.conv_kernel}")
        if not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"CTCConfig: pad_token_id must lie in [0, {self.vocab_size}), got {self.pad_token_id}"
            )


@dataclass
class CTCOutput(ModelOutput):
    """`log_probs` (B, T', C), zeros of each sample's frames from its `lengths` (B,) on meaning nothing."""

    loss: Tensor | None = None
    log_probs: Tensor | None = None
    lengths: Tensor | None = None


class BiLSTMForCTC(PreTrainedModel):
    """log p(symbol | frame) = log_softmax(W [→h_t; ←h_t] + b) over an LSTM of both directions, which reads
    the features or, with config.subsampling s > 1, ReLU of a convolution of stride s over them: T' = ⌈T / s⌉.

    forward(features (B, T, F), lengths=None, labels=None): lengths (B,) of the features; labels (B, S) of
    symbols, padded with -100 at the right. Gives log_probs (B, T', C), their lengths, and for labels the
    loss: -log p of all alignments, by F.ctc_loss, divided by each number of labels and averaged over the
    batch. `decode` gives each sample's symbols.

    Raises ValueError for shapes, lengths outside [1, T] and labels that are the blank or come after padding;
    IndexError for labels outside [0, C).

    >>> import dlcore
    >>> model = BiLSTMForCTC(CTCConfig(feature_size=3, vocab_size=5, hidden_size=4, subsampling=2))
    >>> out = model(dlcore.randn(2, 7, 3), lengths=[7, 4], labels=dlcore.tensor([[1, 2], [3, -100]]))
    >>> out.log_probs.shape, out.lengths.tolist(), out.loss.shape
    ((2, 4, 5), [4, 2], ())
    """

    config_class = CTCConfig
    main_input_name = "features"

    def __init__(self, config: CTCConfig) -> None:
        super().__init__(config)
        c: Any = config
        self.conv = None
        width = c.feature_size
        if c.subsampling > 1:
            width, kernel = c.conv_channels, c.conv_kernel
            self.conv = nn.Conv1d(c.feature_size, width, kernel, c.subsampling, padding=kernel // 2)
        self.rnn = nn.LSTM(
            width,
            c.hidden_size,
            c.num_layers,
            batch_first=True,
            dropout=c.dropout if c.num_layers > 1 else 0.0,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(c.dropout)
        self.lm_head = nn.Linear(2 * c.hidden_size, c.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As each layer draws its own."""
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()

    def _loss(self, log_probs: Tensor, lengths: np.ndarray[Any, Any], labels: Tensor) -> Tensor:
        c = self.config
        y = labels.detach().numpy()
        real = y != -100
        if y.ndim != 2 or len(y) != len(lengths) or y.dtype.kind not in "iu":
            raise ValueError(
                f"BiLSTMForCTC: labels must be ({len(lengths)}, S) integers, got {y.shape} {y.dtype}"
            )
        if (real[:, 1:] > real[:, :-1]).any():
            raise ValueError("BiLSTMForCTC: labels must be padded with -100 at the right only")
        if (y == c.pad_token_id).any():
            raise ValueError(f"BiLSTMForCTC: labels must not be the blank, {c.pad_token_id}")
        return F.ctc_loss(
            log_probs.transpose(0, 1),  # (T', B, C)
            tensor(y[real].astype(np.int64)),
            lengths,
            real.sum(1),
            blank=c.pad_token_id,
            zero_infinity=c.ctc_zero_infinity,
        )

    def forward(
        self,
        features: Tensor,
        lengths: Any = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> CTCOutput | tuple[Any, ...]:
        c = self.config
        if features.ndim != 3 or features.shape[2] != c.feature_size or features.shape[1] < 1:
            raise ValueError(f"BiLSTMForCTC: features must be (B, T, {c.feature_size}), got {features.shape}")
        B, T = features.shape[:2]
        n = valid_steps("BiLSTMForCTC", B, T, None, lengths)
        x = features
        if self.conv is not None:
            if (n < T).any():  # what the convolution sees beyond a sample's end is its own zero padding
                x = x.masked_fill(tensor((np.arange(T) >= n[:, None])[:, :, None]), 0.0)
            x = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)  # (B, T', channels)
            n = (n - 1) // c.subsampling + 1
        y, _ = self.rnn(self.dropout(x), lengths=n)  # (B, T', 2 H)
        log_probs = F.log_softmax(self.lm_head(self.dropout(y)), -1)  # (B, T', C)
        loss = None if labels is None else self._loss(log_probs, n, labels)
        output = CTCOutput(loss=loss, log_probs=log_probs, lengths=tensor(n))
        return output if self._wants_dict(return_dict) else output.to_tuple()

    def decode(self, features: Tensor, lengths: Any = None, beam_width: int = 1) -> list[list[int]]:
        """The symbols of each sample: the best alignment's, or with a `beam_width` above 1 the best of those
        found by a search over prefixes.
        """
        with no_grad():
            out: Any = self(features, lengths, return_dict=True)
        blank = self.config.pad_token_id
        if beam_width == 1:
            return ctc_greedy_search(out.log_probs, out.lengths, blank)
        found = ctc_beam_search(out.log_probs, out.lengths, beam_width, blank)
        return [beams[0][0] for beams in found]

    if TYPE_CHECKING:
        __call__ = forward


def _frames(op: str, log_probs: Tensor, lengths: Any, blank: int) -> list[np.ndarray[Any, Any]]:
    """Each sample's own frames, (T_i, C) float64."""
    if log_probs.ndim != 3 or 0 in log_probs.shape[1:]:
        raise ValueError(f"{op}: log_probs must be (B, T, C), got {log_probs.shape}")
    if not 0 <= blank < log_probs.shape[2]:
        raise ValueError(f"{op}: blank must lie in [0, {log_probs.shape[2]}), got {blank}")
    n = valid_steps(op, log_probs.shape[0], log_probs.shape[1], None, lengths)
    x = log_probs.detach().numpy().astype(np.float64)
    frames = [x[i, :length] for i, length in enumerate(n)]
    if not all((own < np.inf).all() for own in frames):
        raise ValueError(f"{op}: log_probs must be neither NaN nor +inf")
    return frames


def ctc_greedy_search(log_probs: Tensor, lengths: Any = None, blank: int = 0) -> list[list[int]]:
    """The labels of the best alignment, argmax_a Π_t p_t(a_t): repetitions become one, then blanks go.

    log_probs (B, T, C) without NaN, lengths (B,) in [1, T], else ValueError.

    >>> import dlcore
    >>> ctc_greedy_search(dlcore.tensor([[[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]]).log())
    [[1, 1]]
    """
    found = []
    for x in _frames("ctc_greedy_search", log_probs, lengths, blank):
        path = x.argmax(1)
        kept = path[np.concatenate([[True], path[1:] != path[:-1]])]
        found.append(kept[kept != blank].tolist())
    return found


def ctc_beam_search(
    log_probs: Tensor, lengths: Any = None, beam_width: int = 16, blank: int = 0
) -> list[list[tuple[list[int], float]]]:
    """The most probable labels with log p(labels) = log Σ Π_t p_t(a_t), over the alignments a that become
    them: of each sample up to `beam_width`, the best first; none where no alignment is possible.

    A search over prefixes, each with two probabilities, that it ends in a blank or in its last label; exact
    where `beam_width` holds all prefixes, else the p of a prefix lacks what was dropped on the way.

    log_probs (B, T, C) without NaN, lengths (B,) in [1, T] and beam_width at least 1, else ValueError.

    >>> import dlcore
    >>> x = dlcore.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    >>> ctc_greedy_search(x)  # both blank: 0.36
    [[]]
    >>> labels, score = ctc_beam_search(x)[0][0]
    >>> labels, round(score, 4)  # three alignments: log 0.64
    ([1], -0.4463)
    """
    if beam_width < 1:
        raise ValueError(f"ctc_beam_search: beam_width must be at least 1, got {beam_width}")
    return [_search(x, beam_width, blank) for x in _frames("ctc_beam_search", log_probs, lengths, blank)]


def _search(x: np.ndarray[Any, Any], width: int, blank: int) -> list[tuple[list[int], float]]:
    C = x.shape[1]
    prefixes: list[tuple[int, ...]] = [()]
    in_blank, in_label = np.zeros(1), np.full(1, -np.inf)  # log p of each prefix, by its end
    for frame in x:
        W = len(prefixes)
        total = np.logaddexp(in_blank, in_label)
        last = np.array([p[-1] if p else blank for p in prefixes])
        longer = total[:, None] + frame  # (W, C): the prefix and one label more
        longer[np.arange(W), last] = in_blank + frame[last]  # a repetition is a new label only after a blank
        longer[:, blank] = -np.inf
        same_blank = total + frame[blank]
        same_label = np.where(last == blank, -np.inf, in_label + frame[last])
        place = {p: i for i, p in enumerate(prefixes)}
        for i, p in enumerate(prefixes):  # one prefix, reached by staying and by growing
            parent = place.get(p[:-1]) if p else None
            if parent is not None:
                same_label[i] = np.logaddexp(same_label[i], longer[parent, p[-1]])
                longer[parent, p[-1]] = -np.inf
        scores = np.concatenate([np.logaddexp(same_blank, same_label), longer.ravel()])
        best = np.argsort(-scores, kind="stable")[:width]
        best = best[scores[best] > -np.inf]
        if not len(best):
            return []
        stay, grow = best[best < W], best[best >= W] - W
        prefixes = [prefixes[i] for i in stay] + [(*prefixes[i // C], int(i % C)) for i in grow]
        in_blank = np.concatenate([same_blank[stay], np.full(len(grow), -np.inf)])
        in_label = np.concatenate([same_label[stay], longer.ravel()[grow]])
    total = np.logaddexp(in_blank, in_label)
    return [(list(prefixes[i]), float(total[i])) for i in np.argsort(-total, kind="stable")]


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The least number of insertions, deletions and substitutions that make `a` into `b`.

    V. Levenshtein (1966). A row of the table at once: insertions are a running minimum.

    >>> edit_distance("kitten", "sitting")
    3
    """
    codes: dict[Any, int] = {}
    x, y = (np.array([codes.setdefault(s, len(codes)) for s in seq], np.int64) for seq in (a, b))
    steps = np.arange(len(y) + 1)
    row = steps
    for i, symbol in enumerate(x, 1):
        best = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + (y != symbol))])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def character_error_rate(predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> float:
    """Σ edit_distance(prediction, reference) / Σ len(reference), over pairs of strings; of lists of words it
    is the word error rate.

    Raises ValueError for numbers that differ and for references without a symbol.

    >>> character_error_rate(["hallo", "you"], ["hello", "you"])
    0.125
    >>> character_error_rate([["go", "on"]], [["go"]])
    1.0
    """
    if len(predictions) != len(references):
        raise ValueError(
            f"character_error_rate: {len(predictions)} predictions for {len(references)} references"
        )
    length = sum(map(len, references))
    if not length:
        raise ValueError("character_error_rate: the references are empty")
    return sum(map(edit_distance, predictions, references)) / length
