"""dlcore's layers beside PyTorch's at the sizes of real models, one line of code for both.

    python benchmarks/layers.py [--quick] [--only lstm,conv] [--threads one] [--dtype float64] [--out DIR]

Because the names are the same, each case is written once, against a library (`L.F`, `L.nn`, `L.optim`,
`L.tensor`), and each library runs it in a process of its own (benchmarks/peers.py), sampled in turn. Medians
with quartiles; ratio = PyTorch's time over dlcore's. Cases whose names end in "fwd+bwd" time the forward and
the gradients of inputs and parameters. Writes layers.json and layers.md, or layers-float64.* with
--dtype float64 (shares of limits are then not given: those that are measured are float32's).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
Job = Callable[[], Any]
DTYPE = "DLCORE_BENCH_DTYPE"  # of the environment: what --dtype tells the workers


def doubles() -> bool:
    return os.environ.get(DTYPE) == "float64"


def as_asked(a: Any) -> Any:
    return a.astype(np.float64) if doubles() and a.dtype == np.float32 else a


@dataclass(frozen=True)
class Library:
    """What a case is written against: torch, or dlcore under the same names."""

    F: Any
    nn: Any
    optim: Any
    tensor: Callable[..., Any]  # (ndarray, requires_grad) -> Tensor
    no_grad: Any
    name: str = "dlcore"

    @staticmethod
    def dlcore() -> Library:
        import dlcore
        from dlcore.nn import functional as F

        def tensor(a: Any, grad: bool = False) -> Any:
            return dlcore.tensor(as_asked(a), requires_grad=grad)

        return Library(F, dlcore.nn, dlcore.optim, tensor, dlcore.no_grad)

    @staticmethod
    def torch() -> Library:
        import torch

        def tensor(a: Any, grad: bool = False) -> Any:
            return torch.tensor(as_asked(a), requires_grad=grad)

        return Library(torch.nn.functional, torch.nn, torch.optim, tensor, torch.no_grad, "torch")

    @staticmethod
    def onnxruntime() -> Library:
        """torch, whose models are exported and run by ONNX Runtime (models.py)."""
        return replace(Library.torch(), name="onnxruntime")


@dataclass(frozen=True)
class Case:
    name: str
    group: str
    make: Callable[[Library], Job]
    flops: float = 0.0  # multiplications and additions of the formula
    bytes: float = 0.0  # read and written at least once


CASES: dict[str, Case] = {}


def add(
    name: str, group: str, make: Callable[[Library], Job], flops: float = 0.0, nbytes: float = 0.0
) -> None:
    assert name not in CASES, name
    CASES[name] = Case(name, group, make, flops, nbytes)


@dataclass(frozen=True)
class Normal:
    """Numbers to be drawn when a case is made, not before: a worker holds the data of one case."""

    shape: tuple[int, ...]
    scale: float = 1.0

    def draw(self) -> Any:
        rng = np.random.default_rng(sum(self.shape) + len(self.shape))
        return rng.standard_normal(self.shape, np.float32) * np.float32(self.scale)


def normal(*shape: int, scale: float = 1.0) -> Normal:
    return Normal(shape, scale)


def drawn(a: Any) -> Any:
    return a.draw() if isinstance(a, Normal) else a


def forward(L: Library, f: Callable[..., Any], *args: Any) -> Job:
    tensors = [L.tensor(drawn(a)) for a in args]

    def job() -> Any:
        with L.no_grad():
            return f(*tensors)

    return job


def first(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def train(L: Library, f: Callable[..., Any], *args: Any, module: Any = None) -> Job:
    """The forward and all gradients; the output's gradient is given, so that no loss adds to the time."""
    tensors = [L.tensor(drawn(a), isinstance(a, Normal)) for a in args]
    leaves = [t for t in tensors if t.requires_grad] + (list(module.parameters()) if module else [])
    with L.no_grad():
        g = L.tensor(normal(*first(f(*tensors)).shape).draw())

    def job() -> Any:
        for t in leaves:
            t.grad = None
        first(f(*tensors)).backward(g)

    return job


def pair(
    name: str,
    group: str,
    f: Callable[[Library], Callable[..., Any]],
    *args: Any,
    flops: float = 0.0,
    nbytes: float = 0.0,
    back: float = 3.0,
) -> None:
    """A function forward, and forward with backward at `back` times its arithmetic."""
    add(name, group, lambda L: forward(L, f(L), *args), flops, nbytes)
    add(f"{name} fwd+bwd", group, lambda L: train(L, f(L), *args), back * flops, 2.5 * nbytes)


def layer(
    name: str,
    group: str,
    build: Callable[[Library], Any],
    *args: Any,
    flops: float = 0.0,
    nbytes: float = 0.0,
    back: float = 3.0,
) -> None:
    """The same for a module."""

    def run(L: Library, training: bool) -> Job:
        module = build(L)
        if doubles():
            getattr(module, "module", module).double()
        return train(L, module, *args, module=module) if training else forward(L, module, *args)

    add(name, group, lambda L: run(L, False), flops, nbytes)
    add(f"{name} fwd+bwd", group, lambda L: run(L, True), back * flops, 2.5 * nbytes)


IDS = np.random.default_rng(5).integers(0, 30000, 16384)


class Self:
    """Self-attention without its weights."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, x: Any) -> Any:
        return self.module(x, x, x, need_weights=False)[0]

    def parameters(self) -> Any:
        return self.module.parameters()


class Ids:
    """The ids are no floating input: the module closes over them."""

    def __init__(self, L: Library, module: Any) -> None:
        self.module, self.ids = module, L.tensor(IDS)

    def __call__(self, _: Any) -> Any:
        return self.module(self.ids)

    def parameters(self) -> Any:
        return self.module.parameters()


# ---- matmul, linear ----------------------------------------------------------------------------------------
for m, k, n, what in (
    (512, 512, 512, ""),
    (1024, 1024, 1024, ""),
    (128, 768, 3072, " BERT"),
    (1024, 768, 3072, " BERT batch 8"),
    (256, 768, 50257, " GPT-2 logits"),
    (16, 768, 768, ""),
    (64, 64, 64, ""),
):
    add(
        f"matmul {m}x{k}x{n}{what}",
        "matmul",
        lambda L, s=(m, k, n): forward(L, lambda a, b: a @ b, normal(*s[:2]), normal(*s[1:])),
        2.0 * m * k * n,
    )
add(
    "matmul 96 x 128x64x128 heads",
    "matmul",
    lambda L: forward(L, lambda a, b: a @ b, normal(96, 128, 64), normal(96, 64, 128)),
    2.0 * 96 * 128 * 128 * 64,
)
for b, i, o in ((1, 768, 3072), (8, 768, 3072), (64, 1600, 128), (1024, 768, 768), (64, 64, 64)):
    pair(
        f"linear {b}x{i}->{o}",
        "linear",
        lambda L: L.F.linear,
        normal(b, i),
        normal(o, i),
        normal(o),
        flops=2.0 * b * i * o,
        nbytes=4.0 * (i * o + b * (i + o)),
    )


# ---- convolution -------------------------------------------------------------------------------------------
def conv_case(what: str, x: tuple[int, ...], w: tuple[int, ...], **kw: Any) -> None:
    nd = len(x) - 2
    stride, padding = kw.get("stride", 1), kw.get("padding", 0)
    out = math.prod((s + 2 * padding - k) // stride + 1 for s, k in zip(x[2:], w[2:]))
    flops = 2.0 * x[0] * w[0] * math.prod(w[1:]) * out
    pair(
        f"conv{nd}d {what}",
        "conv",
        lambda L: lambda x, w, b: getattr(L.F, f"conv{nd}d")(x, w, b, **kw),
        normal(*x),
        normal(*w, scale=0.1),
        normal(w[0]),
        flops=flops,
        nbytes=4.0 * (math.prod(x) + x[0] * w[0] * out),
    )


conv_case("listing 3x3 64x1x28x28->32", (64, 1, 28, 28), (32, 1, 3, 3))
conv_case("listing 3x3 64x32x13x13->64", (64, 32, 13, 13), (64, 32, 3, 3))
conv_case("AlexNet 11x11/4 8x3x224x224->64", (8, 3, 224, 224), (64, 3, 11, 11), stride=4, padding=2)
conv_case("AlexNet 5x5 8x64x27x27->192", (8, 64, 27, 27), (192, 64, 5, 5), padding=2)
conv_case("AlexNet 3x3 8x192x13x13->384", (8, 192, 13, 13), (384, 192, 3, 3), padding=1)
conv_case("ResNet 7x7/2 1x3x224x224->64", (1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
conv_case("ResNet 7x7/2 8x3x224x224->64", (8, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
conv_case("ResNet 1x1 8x256x56x56->64", (8, 256, 56, 56), (64, 256, 1, 1))
conv_case("ResNet 3x3 8x64x56x56->64", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
conv_case("ResNet 3x3 1x64x56x56->64", (1, 64, 56, 56), (64, 64, 3, 3), padding=1)
conv_case("ResNet 3x3/2 8x128x56x56->128", (8, 128, 56, 56), (128, 128, 3, 3), stride=2, padding=1)
conv_case("ResNet 3x3 8x256x14x14->256", (8, 256, 14, 14), (256, 256, 3, 3), padding=1)
conv_case("ResNet 3x3 8x512x7x7->512", (8, 512, 7, 7), (512, 512, 3, 3), padding=1)
conv_case("ResNet 1x1/2 8x512x28x28->1024", (8, 512, 28, 28), (1024, 512, 1, 1), stride=2)
conv_case("GoogLeNet 5x5 8x16x28x28->32", (8, 16, 28, 28), (32, 16, 5, 5), padding=2)
conv_case("depthwise 3x3 8x128x56x56", (8, 128, 56, 56), (128, 1, 3, 3), padding=1, groups=128)
conv_case("depthwise 3x3/2 8x96x112x112", (8, 96, 112, 112), (96, 1, 3, 3), padding=1, groups=96, stride=2)
conv_case("5 16x64x512->64", (16, 64, 512), (64, 64, 5), padding=2)
conv_case("C3D 3x3x3 1x64x8x28x28->128", (1, 64, 8, 28, 28), (128, 64, 3, 3, 3), padding=1)
pair(
    "conv_transpose2d DCGAN 4x4/2 16x256x8x8->128",
    "conv",
    lambda L: lambda x, w, b: L.F.conv_transpose2d(x, w, b, stride=2, padding=1),
    normal(16, 256, 8, 8),
    normal(256, 128, 4, 4, scale=0.1),
    normal(128),
    flops=2.0 * 16 * 256 * 128 * 16 * 64,
)

# ---- pooling, resampling -----------------------------------------------------------------------------------
for name, shape, k, kw in (
    ("max_pool2d", (32, 64, 112, 112), 2, {}),
    ("max_pool2d", (32, 64, 112, 112), 3, {"stride": 2, "padding": 1}),
    ("avg_pool2d", (32, 64, 56, 56), 3, {"stride": 1, "padding": 1}),
    ("max_pool3d", (2, 32, 16, 56, 56), 2, {}),
    ("avg_pool3d", (2, 32, 16, 56, 56), 2, {}),
):
    pair(
        f"{name} {k} {'x'.join(map(str, shape))} {kw.get('stride', k)}",
        "pool",
        lambda L, name=name, k=k, kw=kw: lambda x: getattr(L.F, name)(x, k, **kw),
        normal(*shape),
        nbytes=4.0 * math.prod(shape) * (1 + 1 / kw.get("stride", k) ** 2),
    )
pair(
    "adaptive_avg_pool2d 1 32x512x14x14",
    "pool",
    lambda L: lambda x: L.F.adaptive_avg_pool2d(x, 1),
    normal(32, 512, 14, 14),
    nbytes=4.0 * 32 * 512 * 196,
)
for name, run in (
    ("avg_pool2d 14 32x512x14x14", lambda L: lambda x: L.F.avg_pool2d(x, 14)),
    ("pad zero 1 32x64x56x56", lambda L: lambda x: L.F.pad(x, (1, 1, 1, 1))),
    ("pad circular 1 32x64x56x56", lambda L: lambda x: L.F.pad(x, (1, 1, 1, 1), mode="circular")),
    ("channel_shuffle 4 32x64x56x56", lambda L: lambda x: L.F.channel_shuffle(x, 4)),
):
    shape = (32, 512, 14, 14) if "avg" in name else (32, 64, 56, 56)
    pair(name, "pool" if "avg" in name else "pad", run, normal(*shape), nbytes=4.0 * math.prod(shape))
for name, shape, run in (
    ("adaptive_avg_pool2d 1", (32, 512, 14, 14), lambda L: lambda x: L.F.adaptive_avg_pool2d(x, 1)),
    ("max_pool2d 3/2", (32, 64, 56, 56), lambda L: lambda x: L.F.max_pool2d(x, 3, 2, 1)),
    (
        "interpolate bilinear /2",
        (8, 64, 112, 112),
        lambda L: lambda x: L.F.interpolate(x, scale_factor=0.5, mode="bilinear"),
    ),
):
    n, c, h, w = shape
    pair(
        f"{name} {'x'.join(map(str, shape))} channels-last",
        "pool",
        lambda L, run=run: lambda x: run(L)(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1),
        normal(n, h, w, c),
        nbytes=4.0 * math.prod(shape),
    )
GRID = np.random.default_rng(8).uniform(-1, 1, (8, 64, 64, 2)).astype(np.float32)
add(
    "grid_sample 8x64x64x64",
    "resample",
    lambda L: forward(
        L, lambda x, g: L.F.grid_sample(x, g, align_corners=False), normal(8, 64, 64, 64), GRID
    ),
    0.0,
    8.0 * 8 * 64 * 64 * 64,
)
for mode in ("nearest", "bilinear", "bicubic"):
    pair(
        f"interpolate {mode} x2 8x64x56x56",
        "resample",
        lambda L, mode=mode: lambda x: L.F.interpolate(x, scale_factor=2, mode=mode),
        normal(8, 64, 56, 56),
        nbytes=4.0 * 8 * 64 * 56 * 56 * 5,
    )

# ---- elementwise, softmax, norms, losses -------------------------------------------------------------------
BIG = (64, 128, 1536)
for name in ("relu", "gelu", "silu", "tanh", "sigmoid"):
    pair(
        f"{name} 50 MB",
        "elementwise",
        lambda L, name=name: getattr(L.F, name),
        normal(*BIG),
        nbytes=8.0 * math.prod(BIG),
    )
pair(
    "dropout 50 MB",
    "elementwise",
    lambda L: lambda x: L.F.dropout(x, 0.1, True),
    normal(*BIG),
    nbytes=8.0 * math.prod(BIG),
)
pair(
    "softmax 8192x1000", "softmax", lambda L: lambda x: L.F.softmax(x, -1), normal(8192, 1000), nbytes=65.5e6
)
pair(
    "log_softmax 2048x30522",
    "softmax",
    lambda L: lambda x: L.F.log_softmax(x, -1),
    normal(2048, 30522),
    nbytes=8.0 * 2048 * 30522,
)
LABELS = np.random.default_rng(3).integers(0, 1000, 8192)
pair(
    "cross_entropy 8192x1000", "loss", lambda L: L.F.cross_entropy, normal(8192, 1000), LABELS, nbytes=32.8e6
)
HALVES = np.random.default_rng(9).integers(0, 2, (4096, 1000)).astype(np.float32)


def binary_loss(L: Library) -> Callable[[Any], Any]:
    target = L.tensor(HALVES)
    return lambda x: L.F.binary_cross_entropy_with_logits(x, target)


pair(
    "binary_cross_entropy_with_logits 4096x1000",
    "loss",
    binary_loss,
    normal(4096, 1000),
    nbytes=32.8e6,
)
layer("LayerNorm 4096x768", "norm", lambda L: L.nn.LayerNorm(768), normal(4096, 768), nbytes=25.2e6)
layer("RMSNorm 4096x768", "norm", lambda L: L.nn.RMSNorm(768), normal(4096, 768), nbytes=25.2e6)
layer(
    "BatchNorm2d 32x64x56x56", "norm", lambda L: L.nn.BatchNorm2d(64), normal(32, 64, 56, 56), nbytes=51.4e6
)
layer(
    "GroupNorm 32 8x128x56x56",
    "norm",
    lambda L: L.nn.GroupNorm(32, 128),
    normal(8, 128, 56, 56),
    nbytes=25.7e6,
)
layer(
    "LocalResponseNorm 5 32x96x27x27",
    "norm",
    lambda L: L.nn.LocalResponseNorm(5),
    normal(32, 96, 27, 27),
    nbytes=17.9e6,
)

# ---- attention ---------------------------------------------------------------------------------------------
for b, h, t, d, causal in (
    (8, 12, 128, 64, False),
    (1, 12, 1024, 64, True),
    (1, 12, 1024, 64, False),
    (1, 4, 8192, 64, True),
    (4, 8, 512, 80, False),
):
    pair(
        f"attention {b}x{h}x{t}x{d}{' causal' if causal else ''}",
        "attention",
        lambda L, c=causal: lambda q, k, v: L.F.scaled_dot_product_attention(q, k, v, is_causal=c),
        normal(b, h, t, d),
        normal(b, h, t, d, scale=0.9),
        normal(b, h, t, d, scale=1.1),
        flops=4.0 * b * h * t * t * d * (0.5 if causal else 1),
        back=3.5,
    )
add(
    "attention decoding 1x12x1x64 over 4096",
    "attention",
    lambda L: forward(
        L, L.F.scaled_dot_product_attention, normal(1, 12, 1, 64), *2 * [normal(1, 12, 4096, 64)]
    ),
    0.0,
    4.0 * 2 * 12 * 4096 * 64,
)
layer(
    "MultiheadAttention 768/12 8x128",
    "attention",
    lambda L: Self(L.nn.MultiheadAttention(768, 12, batch_first=True)),
    normal(8, 128, 768),
    flops=2.0 * 1024 * 768 * 768 * 4 + 4.0 * 96 * 128 * 128 * 64,
)
layer(
    "TransformerEncoderLayer 256/4 16x64",
    "attention",
    lambda L: L.nn.TransformerEncoderLayer(256, 4, 1024, 0.0, batch_first=True),
    normal(16, 64, 256),
    flops=2.0 * 1024 * 256 * 256 * 12 + 4.0 * 64 * 64 * 64 * 64,
)


# ---- recurrent ---------------------------------------------------------------------------------------------
for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
    for b, t, size in ((1, 100, 256), (32, 100, 256), (32, 50, 512)):
        layer(
            f"{kind} {b}x{t}x{size}",
            "recurrent",
            lambda L, kind=kind, size=size: getattr(L.nn, kind)(size, size, batch_first=True),
            normal(b, t, size),
            flops=2.0 * b * t * gates * 2 * size * size,
        )
layer(
    "BiLSTM 2 layers 32x50x128",
    "recurrent",
    lambda L: L.nn.LSTM(128, 128, 2, batch_first=True, bidirectional=True),
    normal(32, 50, 128),
    flops=2.0 * 32 * 50 * 4 * 2 * 128 * (128 + 128 + 256 + 128),
)
LENGTHS = np.sort(np.random.default_rng(4).integers(20, 500, 32))[::-1].copy()


class Packed:
    """An LSTM over a batch of sequences of 20 to 500 steps, packed."""

    def __init__(self, L: Library) -> None:
        self.module = L.nn.LSTM(128, 128, batch_first=True)
        self.rnn = L.nn.utils.rnn
        self.lengths = L.tensor(LENGTHS)

    def __call__(self, x: Any) -> Any:
        packed = self.rnn.pack_padded_sequence(x, self.lengths, batch_first=True)
        return self.rnn.pad_packed_sequence(self.module(packed)[0], batch_first=True)[0]

    def parameters(self) -> Any:
        return self.module.parameters()


layer(
    "LSTM packed 32 of 20..500 x128",
    "recurrent",
    Packed,
    normal(32, int(LENGTHS[0]), 128),
    flops=2.0 * float(LENGTHS.sum()) * 4 * 2 * 128 * 128,
)

# ---- embedding, sorting, CTC -------------------------------------------------------------------------------
layer("Embedding 30000x256, 16384 ids", "embedding", lambda L: Ids(L, L.nn.Embedding(30000, 256)), normal(1))

BAGS = np.arange(0, 16384, 16)


def bags(L: Library, mode: str) -> Callable[[Any], Any]:
    ids, offsets = L.tensor(IDS), L.tensor(BAGS)
    return lambda w: L.F.embedding_bag(ids, w, offsets, mode=mode)


for mode in ("sum", "mean", "max"):
    pair(
        f"embedding_bag {mode} 30000x256, 1024 bags of 16",
        "embedding",
        lambda L, mode=mode: bags(L, mode),
        normal(30000, 256),
        nbytes=4.0 * 16384 * 256,
    )


add("topk 50 of 32x50257", "sort", lambda L: forward(L, lambda x: x.topk(50), normal(32, 50257)))
add("sort 1000x1000", "sort", lambda L: forward(L, lambda x: x.sort(), normal(1000, 1000)))
REDUCED = normal(12500, 1000)
add("argmax 12500x1000", "reduce", lambda L: forward(L, lambda x: x.argmax(1), REDUCED), 0.0, 5e7)
add("sum of columns 12500x1000", "reduce", lambda L: forward(L, lambda x: x.sum(0), REDUCED), 0.0, 5e7)
add("mean of rows 12500x1000", "reduce", lambda L: forward(L, lambda x: x.mean(1), REDUCED), 0.0, 5e7)


def ctc(L: Library) -> Job:
    targets = np.random.default_rng(6).integers(1, 30, (16, 30))
    sizes = L.tensor(np.full(16, 150)), L.tensor(np.full(16, 30))
    t = L.tensor(targets)
    return train(L, lambda x: L.F.ctc_loss(L.F.log_softmax(x, -1), t, *sizes), normal(150, 16, 30))


add("ctc_loss 150x16x30, 30 labels fwd+bwd", "loss", ctc)


# ---- optimizers, overhead ----------------------------------------------------------------------------------
def optimizer(name: str, **kw: Any) -> Callable[[Library], Job]:
    def make(L: Library) -> Job:
        params = [
            L.nn.Parameter(L.tensor(normal(*s).draw()))
            for s in [(768, 3072), (3072, 768), (768,), (3072,)] * 2
        ]
        for p in params:
            p.grad = L.tensor(normal(*p.shape).draw())
        return getattr(L.optim, name)(params, lr=1e-3, **kw).step

    return make


WEIGHTS = 2 * (2 * 768 * 3072 + 768 + 3072)
for name, kw, passes in (
    ("SGD", {"momentum": 0.9}, 5),
    ("Adam", {}, 7),
    ("AdamW", {}, 7),
    ("RMSprop", {}, 5),
):
    add(f"{name} step, 9.4 M weights", "optim", optimizer(name, **kw), 0.0, 4.0 * passes * WEIGHTS)


def clip(L: Library) -> Job:
    params = [L.nn.Parameter(L.tensor(normal(256, 256).draw())) for _ in range(50)]
    for p in params:
        p.grad = L.tensor(normal(256, 256, scale=1e-6).draw())
    return lambda: L.nn.utils.clip_grad_norm_(params, 1.0)


add("clip_grad_norm_ of 50 x 256x256", "optim", clip, 0.0, 3 * 4.0 * 50 * 65536)


def mlp(L: Library) -> Any:
    return L.nn.Sequential(L.nn.Linear(64, 128), L.nn.ReLU(), L.nn.Linear(128, 10))


layer("MLP 64-128-10 batch 1", "overhead", mlp, normal(1, 64))
add("add 64x64", "overhead", lambda L: forward(L, lambda a, b: a + b, normal(64, 64), normal(64, 64)))


# ---- the comparison ----------------------------------------------------------------------------------------
def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(v) for v in values) / len(values))


def markdown(result: dict[str, Any], known: dict[str, Case] = CASES, stem: str = "layers") -> str:
    from compare import seconds_text

    command = f"{stem}.py".replace("-float64.py", ".py --dtype float64")
    lines = [f"# dlcore's {stem} beside PyTorch's", "", f"Made by `python benchmarks/{command}`.", ""]
    lines += [f"{k}: {v}  " for k, v in result["environment"].items()]
    for threads, m in result["machine"].items():
        limits = f"FMA peak {m['flops'] / 1e9:.0f} GFLOP/s, memory {m['bandwidth'] / 1e9:.1f} GB/s"
        lines.append(f"measured limits, {m['threads']} thread(s) ({threads}, {m['isa']}): {limits}  ")
    for threads, times in result["jobs"].items():
        ratios = {n: t["torch"]["median"] / t["dlcore"]["median"] for n, t in times.items() if complete(t)}
        if not ratios:
            continue
        behind = sorted((r, n) for n, r in ratios.items() if r < 1)
        lines += ["", f"## Threads: {threads}", ""]
        names = ": " + "; ".join(f"{n} ({r:.2f})" for r, n in behind) if behind else ""
        mean = geometric_mean(list(ratios.values()))
        lines.append(
            f"{len(ratios)} cases, geometric mean {mean:.2f}; PyTorch is ahead in {len(behind)}{names}."
        )
        others = [p for p in result.get("peers", []) if p not in ("dlcore", "torch")]
        head = ["case", "dlcore", "share of limit", "PyTorch", "ratio"]
        head += [cell for p in others for cell in (NAMES[p], "ratio")]
        lines += ["", "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
        for name, t in times.items():
            case, share = known[name], ""
            m = result["machine"].get(threads)
            if m and (case.flops or case.bytes) and "median" in t["dlcore"]:
                s = t["dlcore"]["median"]
                f, b = case.flops / s / m["flops"], case.bytes / s / m["bandwidth"]
                share = f"{100 * max(f, b):.0f} % of {'FMA peak' if f >= b else 'bandwidth'}"
            ratio = f"{ratios[name]:.2f}" if name in ratios else ""
            cells = [name, seconds_text(t["dlcore"]), share, seconds_text(t["torch"]), ratio]
            for p in others:
                has = "median" in t["dlcore"] and "median" in t[p]
                cells += (
                    [seconds_text(t[p]), f"{t[p]['median'] / t['dlcore']['median']:.2f}"] if has else ["", ""]
                )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


NAMES = {"onnxruntime": "ONNX Runtime"}


def complete(t: dict[str, Any]) -> bool:
    return "median" in t["dlcore"] and "median" in t["torch"]


def main(
    known: dict[str, Case] = CASES,
    stem: str = "layers",
    description: str | None = __doc__,
    peers: tuple[str, ...] = ("dlcore", "torch"),
) -> int:
    """Compares the cases; writes <stem>.json and <stem>.md."""
    from compare import Job, Worker, compare_job, environment_of, seconds_text

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few samples: a look, not a measurement")
    parser.add_argument("--only", default="", metavar="A,B", help="cases or groups that contain one of these")
    parser.add_argument("--threads", choices=("default", "one", "both"), default="both")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--out", metavar="DIR", help="default: benchmarks/results, with --quick nowhere")
    arguments = parser.parse_args()
    os.environ[DTYPE] = arguments.dtype
    if doubles():
        known = {name: replace(case, flops=0.0, bytes=0.0) for name, case in known.items()}
        stem += "-float64"
    words = list(filter(None, arguments.only.split(",")))
    cases = [c for c in known.values() if not words or any(w in c.name or w == c.group for w in words)]
    if not cases:
        parser.error(f"--only: no case contains any of {', '.join(words)}")
    rounds, budget = (3, 0.0) if arguments.quick else (15, 2.0)
    result: dict[str, Any] = {"environment": environment_of(peers), "peers": peers, "machine": {}, "jobs": {}}
    for label, threads in (("default", None), ("one", 1)):
        if arguments.threads not in (label, "both"):
            continue
        workers = {p: Worker(p, threads) for p in peers}
        result["jobs"][label] = {}
        try:
            result["machine"][label] = workers["dlcore"].ask(machine=0.1 if arguments.quick else 1.0)
            for case in cases:
                times = compare_job(Job(case.name, case.name, peers), workers, rounds, budget)
                result["jobs"][label][case.name] = times
                ratio = times["torch"]["median"] / times["dlcore"]["median"] if complete(times) else 0.0
                shown = "; ".join(f"{p} {seconds_text(s)}" for p, s in times.items())
                print(f"{ratio:6.2f}  {case.name} [{label}]: {shown}", flush=True)
        finally:
            for worker in workers.values():
                worker.close()
    text = markdown(result, known, stem)
    print("\n".join(line for line in text.splitlines() if "geometric mean" in line))
    out = arguments.out or (None if arguments.quick or words else HERE / "results")
    if out:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
