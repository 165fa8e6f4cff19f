"""AlexNet's and GoogLeNet's ideas at the size of CIFAR-10's pictures, with augmentation, in PyTorch's style.

python examples/cifar10.py [FILE] [--model alexnet|googlenet] [--epochs N] [--images N]: FILE is a folder of
batches or a tar file (see dlcore.datasets.cifar10); without it they are looked for in DLCORE_DATA.
"""

import argparse
import time

import numpy as np

import dlcore
from dlcore import nn
from dlcore.datasets import cifar10
from dlcore.nn import functional as F


def alexnet(classes=10):
    """Five convolutions and two linear layers; small kernels, since the pictures are small."""

    def conv(i, o, pool):
        layers = [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        return [*layers, nn.MaxPool2d(2)] if pool else layers

    return nn.Sequential(
        *conv(3, 32, True),  # (N, 32, 16, 16)
        *conv(32, 64, True),  # (N, 64, 8, 8)
        *conv(64, 128, False),
        *conv(128, 128, False),
        *conv(128, 128, True),  # (N, 128, 4, 4)
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(128 * 16, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


class Inception(nn.Module):
    """1x1, 3x3 and 5x5 (as two 3x3) convolutions and a pooled 1x1, side by side: o channels each."""

    def __init__(self, i, o):
        super().__init__()

        def conv(i, o, k):
            return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())

        self.one = conv(i, o, 1)
        self.three = nn.Sequential(conv(i, o // 2, 1), conv(o // 2, o, 3))
        self.five = nn.Sequential(conv(i, o // 2, 1), conv(o // 2, o, 3), conv(o, o, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(i, o, 1))

    def forward(self, x):
        return dlcore.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def googlenet(classes=10):
    """A stem and four inception blocks, the mean over the picture, one linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 32, 16, 16)
        Inception(32, 16),
        Inception(64, 24),
        nn.MaxPool2d(2),  # (N, 96, 8, 8)
        Inception(96, 32),
        Inception(128, 48),
        nn.AdaptiveAvgPool2d(1),  # (N, 192, 1, 1)
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(192, classes),
    )


MODELS = {"alexnet": alexnet, "googlenet": googlenet}


def normal(x):
    """uint8 (N, 32, 32, 3) -> float32 (N, 3, 32, 32) with mean 0 and deviation 1."""
    mean, std = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.247, 0.2435, 0.2616])
    x = (x.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def augment(x, rng):
    """Each picture of a batch moved by up to four pixels, and mirrored half of the time."""
    n = len(x)
    padded = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), axis=(2, 3))
    x = windows[np.arange(n), :, rng.integers(0, 9, n), rng.integers(0, 9, n)]  # (N, 3, 32, 32)
    flip = rng.random(n) < 0.5
    x[flip] = x[flip, :, :, ::-1]
    return x


def accuracy(model, x, y):
    model.eval()
    with dlcore.no_grad():
        guesses = [model(dlcore.tensor(x[i : i + 500])).argmax(1).numpy() for i in range(0, len(x), 500)]
    return float((np.concatenate(guesses) == y).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="where CIFAR-10 is")
    parser.add_argument("--model", choices=MODELS, default="alexnet")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=50_000, help="training pictures")
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    (x, y), (x_test, y_test) = cifar10.load_data(args.file)
    x, y, x_test = normal(x[: args.images]), y[: args.images].astype(np.int64), normal(x_test)
    dlcore.manual_seed(0)
    rng = np.random.default_rng(0)
    model = MODELS[args.model]()
    steps = args.epochs * (len(x) // args.batch)
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    start = time.perf_counter()
    for epoch in range(args.epochs):
        model.train()
        began, total = time.perf_counter(), 0.0
        order = rng.permutation(len(x))[: len(x) // args.batch * args.batch].reshape(-1, args.batch)
        for rows in order:
            logits = model(dlcore.tensor(augment(x[rows], rng)))
            loss = F.cross_entropy(logits, dlcore.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - began
        print(
            f"epoch {epoch + 1}: loss {total / len(order):.3f}, test accuracy "
            f"{accuracy(model, x_test, y_test):.4f}, {order.size / seconds:.0f} images/s",
            flush=True,
        )
    print(f"trained in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
