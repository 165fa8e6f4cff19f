"""The losses of the heads, for `labels=`."""

from __future__ import annotations

from dlcore import functional as F
from dlcore.creation import full
from dlcore.models.config import PreTrainedConfig
from dlcore.tensor import Tensor

__all__ = ["causal_lm_loss", "classification_loss", "question_answering_loss", "shift_right", "token_loss"]


def token_loss(logits: Tensor, labels: Tensor, ignore_index: int = -100) -> Tensor:
    """Mean cross-entropy over the labels that are not `ignore_index`: logits (..., C), labels (...)."""
    classes = logits.shape[-1]
    return F.cross_entropy(logits.reshape(-1, classes), labels.reshape(-1), ignore_index=ignore_index)


def causal_lm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Each position predicts the next one's label: logits (B, T, V), labels (B, T), -100 to leave one out."""
    # The last position's label is left out, rather than its logits, which would be copied for it.
    none = full((*labels.shape[:-1], 1), -100, dtype="int64", device=labels.device)
    return token_loss(logits, F.cat([labels[..., 1:].long(), none], -1))


def classification_loss(config: PreTrainedConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """By config.problem_type, which is told from the labels where it is not set: mean squared error for one
    label, cross-entropy for integers, binary cross-entropy for several.
    """
    if config.problem_type is None:
        if config.num_labels == 1:
            config.problem_type = "regression"
        elif labels.dtype.kind in "iu":
            config.problem_type = "single_label_classification"
        else:
            config.problem_type = "multi_label_classification"
    if config.problem_type == "regression":
        return (
            F.mse_loss(logits.reshape(-1), labels.reshape(-1))
            if config.num_labels == 1
            else F.mse_loss(logits, labels)
        )
    if config.problem_type == "single_label_classification":
        return F.cross_entropy(logits.reshape(-1, config.num_labels), labels.reshape(-1))
    return F.binary_cross_entropy_with_logits(logits, labels)


def question_answering_loss(start_logits: Tensor, end_logits: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The mean of the two cross-entropies; positions past the end of the text do not count."""
    length = start_logits.shape[1]
    losses = [
        F.cross_entropy(logits, position.reshape(-1).clamp(0, length), ignore_index=length)
        for logits, position in ((start_logits, start), (end_logits, end))
    ]
    return (losses[0] + losses[1]) / 2


def shift_right(labels: Tensor, start: int, pad: int) -> Tensor:
    """What a decoder reads to give `labels` (..., T): `start`, then all but the last; -100 becomes `pad`."""
    first = full((*labels.shape[:-1], 1), start, dtype=labels.dtype, device=labels.device)
    shifted = F.cat([first, labels[..., :-1]], -1)
    return shifted.masked_fill(shifted == -100, pad)
