"""Image classification: from a picture to its labels."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dlcore.autograd import no_grad
from dlcore.pipelines.base import Pipeline, softmax
from dlcore.tensor import Tensor, tensor
from dlcore.vision.functional import _is_pil
from dlcore.vision.transforms import ImageClassification

__all__ = ["ImageClassificationPipeline"]


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as e:
        raise ImportError("pipeline: image files want Pillow (pip install pillow), or pass an ndarray") from e
    return Image


class ImageClassificationPipeline(Pipeline):
    """[{"label", "score"}] of an image's `top_k` labels (5; None: all), the best first.

    An image is a file's path (read by Pillow, or .npy), a Pillow image, an ndarray (H, W, C) or (H, W), uint8
    or floats in [0, 1], or a Tensor (C, H, W); the model's `config.preprocessing` prepares it.
    `function_to_apply` is "softmax", "sigmoid" or "none". A list of images gives a list of lists.

    Raises FileNotFoundError for a missing file, ValueError for shapes and options, TypeError for others.
    """

    def __init__(self, model: Any, tokenizer: Any = None, task: str = "", **defaults: Any) -> None:
        super().__init__(model, tokenizer, task, **defaults)
        if getattr(model, "config", None) is None or not hasattr(model.config, "preprocessing"):
            raise ValueError(
                "pipeline: the model must have a config with labels and preprocessing, as resnet18() and "
                f"from_pretrained give it, got a {type(model).__name__}"
            )
        self.channels = len(model.config.preprocessing["mean"])
        self.prepare = ImageClassification(**model.config.preprocessing)

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, (str, os.PathLike, np.ndarray, Tensor)) or _is_pil(inputs)

    def run(
        self,
        batch: list[Any],
        top_k: int | None = 5,
        function_to_apply: str = "softmax",
        **options: Any,
    ) -> list[Any]:
        if options:
            raise TypeError(f"pipeline: unknown options: {', '.join(options)}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"pipeline: top_k must be positive or None, got {top_k}")
        if function_to_apply not in ("softmax", "sigmoid", "none"):
            raise ValueError(
                "pipeline: function_to_apply must be 'softmax', 'sigmoid' or 'none', "
                f"got {function_to_apply!r}"
            )
        pixels = np.stack([self.prepare(self._image(x)).numpy() for x in batch])  # (N, C, crop, crop)
        with no_grad():
            logits = self.model(tensor(pixels.astype(_dtype(self.model), copy=False))).numpy()
        if function_to_apply == "softmax":
            logits = softmax(logits)
        elif function_to_apply == "sigmoid":
            logits = 1 / (1 + np.exp(-logits))
        labels = self.model.config.id2label
        best = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
        return [
            [{"label": labels.get(int(i), f"LABEL_{i}"), "score": float(row[i])} for i in places]
            for row, places in zip(logits, best)
        ]

    def _image(self, x: Any) -> Any:
        """What the preprocessing takes, with the model's number of channels."""
        if isinstance(x, (str, os.PathLike)):
            path = os.fspath(x)
            if not os.path.isfile(path):
                raise FileNotFoundError(f"pipeline: no such image: {path!r}")
            x = np.load(path, allow_pickle=False) if path.endswith(".npy") else _pillow().open(path)
        if _is_pil(x):
            return x.convert("L" if self.channels == 1 else "RGB")
        if isinstance(x, Tensor):
            if x.ndim != 3 or x.shape[0] != self.channels or 0 in x.shape:
                raise ValueError(
                    f"pipeline: an image must be a Tensor ({self.channels}, H, W), got {x.shape}"
                )
            return x
        if not isinstance(x, np.ndarray):
            raise TypeError(
                "pipeline: an image must be a path, a Pillow image, an ndarray or a Tensor, "
                f"got {type(x).__name__}"
            )
        if x.ndim == 2:
            x = x[:, :, None]
        if x.ndim == 3 and x.shape[2] == 1 and self.channels > 1:
            x = np.repeat(x, self.channels, 2)
        if x.ndim != 3 or x.shape[2] != self.channels or 0 in x.shape:
            raise ValueError(f"pipeline: an image must be (H, W) or (H, W, {self.channels}), got {x.shape}")
        return np.ascontiguousarray(x)


def _dtype(model: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = next(iter(model.parameters())).dtype
    return dtype
