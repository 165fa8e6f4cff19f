"""Whole models beside torchvision's, Transformers', ONNX Runtime, at real sizes: inference, training steps.

    python benchmarks/models.py [--quick] [--only resnet] [--threads one] [--out benchmarks/results]

In the manner of layers.py: one line for all libraries, a process for each, medians; ratio = the peer's time
over dlcore's. Weights are random. "fused" folds batch normalisation into the convolutions, by
`dlcore.models.fuse` here and torch.fx's `fuse` there. Writes models.json and models.md.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from typing import Any

import numpy as np

import layers
from layers import Case, Job, Library, normal

CASES: dict[str, Case] = {}


def zoo(L: Library) -> Any:
    """dlcore.models, or torchvision.models."""
    if L.name == "dlcore":
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
    if L.name == "dlcore":
        return zoo(L).fuse(model)
    return importlib.import_module("torch.fx.experimental.optimization").fuse(model)


def onnx(model: Any, *inputs: Any) -> Job:
    """The model exported and run by ONNX Runtime, on as many threads as OMP_NUM_THREADS says."""
    import onnxruntime
    import torch

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = f"{folder}/model.onnx"
        names = [f"x{i}" for i in range(len(inputs))]
        torch.onnx.export(model, inputs, path, dynamo=False, input_names=names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {name: x.numpy() for name, x in zip(names, inputs)}
    return lambda: session.run(None, feed)


def infer(L: Library, name: str, batch: int, fold: bool) -> Job:
    model = image_model(L, name).eval()
    x = normal(batch, 3, 224, 224)
    if L.name == "onnxruntime":  # folds batch normalisation by itself
        return onnx(model, L.tensor(x.draw()))
    return layers.forward(L, fused(L, model) if fold else model, x)


def text_models(L: Library) -> Any:
    """dlcore.models, or Transformers."""
    if L.name == "dlcore":
        return importlib.import_module("dlcore.models")
    zoo(L)  # declares what Transformers asks torchvision for
    return importlib.import_module("transformers")


def bert(L: Library, batch: int) -> Job:
    m = text_models(L)
    model = m.BertModel(m.BertConfig()).eval()
    ids = L.tensor(np.random.default_rng(0).integers(0, 30000, (batch, 128)))
    if L.name == "onnxruntime":
        import torch

        class Plain(torch.nn.Module):  # what the exporter can trace: one tensor in, one out
            def __init__(self) -> None:
                super().__init__()
                self.bert = model

            def forward(self, x: Any) -> Any:
                return self.bert(input_ids=x, return_dict=False)[0]

        return onnx(Plain(), ids)

    def run() -> Any:
        with L.no_grad():
            return model(ids)

    return run


def gpt2(L: Library, batch: int, length: int) -> Job:
    """A training step with AdamW."""
    if L.name == "onnxruntime":
        raise NotImplementedError("ONNX Runtime's package does not train")
    m = text_models(L)
    model = m.GPT2LMHeadModel(m.GPT2Config()).train()
    optimizer = L.optim.AdamW(model.parameters(), lr=1e-5)
    ids = L.tensor(np.random.default_rng(0).integers(0, 50000, (batch, length)))

    def step() -> None:
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()

    return step


def tagger(L: Library, batch: int, length: int) -> Job:
    """A training step of a part-of-speech tagger: embedding, two BiLSTM layers of 256, 17 tags, Adam."""
    if L.name == "onnxruntime":
        raise NotImplementedError("ONNX Runtime's package does not train")
    embedding, lstm = L.nn.Embedding(20000, 100), L.nn.LSTM(100, 256, 2, bidirectional=True, batch_first=True)
    head = L.nn.Linear(512, 17)
    optimizer = L.optim.Adam([p for module in (embedding, lstm, head) for p in module.parameters()])
    rng = np.random.default_rng(0)
    ids, tags = (
        L.tensor(rng.integers(0, 20000, (batch, length))),
        L.tensor(rng.integers(0, 17, batch * length)),
    )

    def step() -> None:
        optimizer.zero_grad()
        y = head(lstm(embedding(ids))[0])
        L.F.cross_entropy(y.reshape(-1, 17), tags).backward()
        optimizer.step()

    return step


def train(L: Library, name: str, batch: int) -> Job:
    if L.name == "onnxruntime":
        raise NotImplementedError("ONNX Runtime's package does not train")
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


def add(name: str, make: Any, flops: float, group: str = "image") -> None:
    CASES[name] = Case(name, group, make, flops)


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

for b in (1, 8):  # 12 layers: 7.08 M weights each, and two products of 128 x 128 x 768
    flops = 2 * b * 128 * 12 * (7.08e6 + 2 * 128 * 768)
    add(f"BERT-base 128 tokens, batch {b}", lambda L, b=b: bert(L, b), flops, "text")
add("GPT-2 4 x 64 tokens, training step", lambda L: gpt2(L, 4, 64), 6 * 256 * 124e6, "text")
tagger_flops = 6.0 * 32 * 50 * 2 * 4 * 256 * (100 + 256 + 512 + 256)
add("BiLSTM tagger 32 x 50, training step", lambda L: tagger(L, 32, 50), tagger_flops, "text")

if __name__ == "__main__":
    sys.exit(layers.main(CASES, "models", __doc__, ("dlcore", "torch", "onnxruntime")))
