"""Whole models beside torchvision's, at their real sizes: inference, and training steps with SGD.

    python benchmarks/models.py [--quick] [--only resnet] [--threads one] [--out benchmarks/results]

In the manner of layers.py: one line for both libraries, a process for each, medians; ratio = PyTorch's time
over dlcore's. Weights are random. "fused" folds batch normalisation into the convolutions, by
`dlcore.models.fuse` here and torch.fx's `fuse` there. Writes models.json and models.md.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import layers
from layers import Case, Job, Library, normal

CASES: dict[str, Case] = {}


def zoo(L: Library) -> Any:
    """dlcore.models, or torchvision.models."""
    if L.nn.__name__.startswith("dlcore"):
        return importlib.import_module("dlcore.models")
    if not hasattr(zoo, "declared"):  # torchvision's operators, which a CPU build of torch may lack
        library = importlib.import_module("torch").library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        zoo.declared = library  # type: ignore[attr-defined]
    return importlib.import_module("torchvision").models


def image_model(L: Library, name: str, **kw: Any) -> Any:
    if name == "googlenet":
        kw["init_weights"] = False
    return getattr(zoo(L), name)(**kw)


def fused(L: Library, model: Any) -> Any:
    if L.nn.__name__.startswith("dlcore"):
        return zoo(L).fuse(model)
    return importlib.import_module("torch.fx.experimental.optimization").fuse(model)


def infer(L: Library, name: str, batch: int, fold: bool) -> Job:
    model = image_model(L, name).eval()
    return layers.forward(L, fused(L, model) if fold else model, normal(batch, 3, 224, 224))


def train(L: Library, name: str, batch: int) -> Job:
    model = image_model(L, name).train()
    optimizer = L.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, labels = L.tensor(normal(batch, 3, 224, 224).draw()), L.tensor(layers.LABELS[:batch])

    def step() -> None:
        out = model(x)
        parts = out if isinstance(out, tuple) else (out,)
        loss = L.F.cross_entropy(parts[0], labels)
        for auxiliary in parts[1:]:
            loss = loss + 0.3 * L.F.cross_entropy(auxiliary, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def add(name: str, make: Any, flops: float) -> None:
    CASES[name] = Case(name, "image", make, flops)


# Multiplications and additions of one image of 224 by 224.
for model, flops, folds in (
    ("alexnet", 1.43e9, False),
    ("googlenet", 3.0e9, True),
    ("resnet18", 3.63e9, True),
    ("resnet50", 8.18e9, True),
    ("vgg16", 30.9e9, False),
    ("vit_b_16", 35.1e9, False),
):
    for b in (1, 8):
        add(f"{model} {b}", lambda L, m=model, b=b: infer(L, m, b, False), b * flops)
        if folds:
            add(f"{model} {b} fused", lambda L, m=model, b=b: infer(L, m, b, True), b * flops)
    if model not in ("vgg16", "vit_b_16"):
        add(f"{model} 8 training step", lambda L, m=model: train(L, m, 8), 3 * 8 * flops)


if __name__ == "__main__":
    sys.exit(layers.main(CASES, "models", __doc__))
