"""AlexNet's and GoogLeNet's ideas at the size of CIFAR-10's pictures, with augmentation, in PyTorch's style.

python examples/cifar10.py [FILE] [--model alexnet|googlenet] [--epochs N] [--images N]: FILE is a folder of
batches or a tar file (see dlcore.datasets.cifar10), or a folder with such a tar file; without it they are
looked for in DLCORE_DATA. The last 5,000 training pictures are kept for development and never trained on; the
test pictures are looked at once, when training is over. The learning rate rises and falls once (OneCycle).
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

import dlcore
from dlcore import nn
from dlcore.datasets import cifar10
from dlcore.nn import functional as F


def conv(i, o, k=3):
    """A convolution that keeps the size, normalised over the batch."""
    return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())


def alexnet(classes=10):
    """Five convolutions and two linear layers; small kernels, since the pictures are small."""
    return nn.Sequential(
        conv(3, 32),
        nn.MaxPool2d(2),  # (N, 32, 16, 16)
        conv(32, 64),
        nn.MaxPool2d(2),  # (N, 64, 8, 8)
        conv(64, 96),
        conv(96, 96),
        conv(96, 64),
        nn.MaxPool2d(2),  # (N, 64, 4, 4)
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64 * 16, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, classes),
    )


class Inception(nn.Module):
    """1x1, 3x3 and 5x5 (as two 3x3) convolutions and a pooled 1x1, side by side: o channels each."""

    def __init__(self, i, o):
        super().__init__()
        self.one = conv(i, o, 1)
        self.three = nn.Sequential(conv(i, o // 2, 1), conv(o // 2, o))
        self.five = nn.Sequential(conv(i, o // 2, 1), conv(o // 2, o), conv(o, o))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(i, o, 1))

    def forward(self, x):
        return dlcore.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def googlenet(classes=10):
    """A stem of two convolutions, four inception blocks, the mean over the picture, one linear layer."""
    return nn.Sequential(
        conv(3, 32),
        nn.MaxPool2d(2),  # (N, 32, 16, 16)
        conv(32, 64),
        nn.MaxPool2d(2),  # (N, 64, 8, 8)
        Inception(64, 24),
        Inception(96, 32),
        Inception(128, 40),
        nn.MaxPool2d(2),  # (N, 160, 4, 4)
        Inception(160, 56),
        nn.AdaptiveAvgPool2d(1),  # (N, 224, 1, 1)
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(224, classes),
    )


MODELS = {"alexnet": alexnet, "googlenet": googlenet}
EPOCHS = {"alexnet": 6, "googlenet": 4}  # about seven minutes on one core


def load(place):
    """The four arrays of cifar10.load_data; a folder may also hold the one tar file that has them."""
    if place and Path(place).is_dir() and len(tars := list(Path(place).glob("*.tar*"))) == 1:
        place = tars[0]
    return cifar10.load_data(place)


def normal(x):
    """uint8 (N, 32, 32, 3) -> float32 (N, 3, 32, 32) with mean 0 and deviation 1."""
    mean, std = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.247, 0.2435, 0.2616])
    x = (x.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def augment(x, rng):
    """Each picture of a batch (N, 32, 32, 3) moved by up to four pixels, and mirrored half of the time."""
    n = len(x)
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), axis=(1, 2))  # (N, 9, 9, 3, 32, 32)
    x = windows[np.arange(n), rng.integers(0, 9, n), rng.integers(0, 9, n)].transpose(0, 2, 3, 1)
    return np.where(rng.random((n, 1, 1, 1)) < 0.5, x[:, :, ::-1], x)


def accuracy(model, x, y):
    model.eval()
    with dlcore.no_grad():
        guesses = [
            model(dlcore.tensor(normal(x[i : i + 500]))).argmax(1).numpy() for i in range(0, len(x), 500)
        ]
    return float((np.concatenate(guesses) == y).mean())


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="where CIFAR-10 is")
    parser.add_argument("--model", choices=MODELS, default="alexnet")
    parser.add_argument("--epochs", type=int, help=f"by default {EPOCHS}")
    parser.add_argument("--images", type=int, default=45_000, help="training pictures")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--decay", type=float, default=5e-2)
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the labels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    epochs = EPOCHS[args.model] if args.epochs is None else args.epochs
    (x, y), (x_test, y_test) = load(args.file)
    x_dev, y_dev, x, y = x[-5000:], y[-5000:], x[:-5000][: args.images], y[:-5000][: args.images]
    dlcore.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    model = MODELS[args.model]()
    parameters = list(model.parameters())
    print(f"{sum(p.numel() for p in parameters):,} parameters, {len(x):,} pictures", flush=True)
    optimizer = dlcore.optim.AdamW(parameters, lr=args.rate, weight_decay=args.decay)
    steps = epochs * (len(x) // args.batch)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=steps + 1)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        order = rng.permutation(len(x))[: len(x) // args.batch * args.batch].reshape(-1, args.batch)
        for rows in order:
            logits = model(dlcore.tensor(normal(augment(x[rows], rng))))
            labels = dlcore.tensor(y[rows].astype(np.int64))
            loss = F.cross_entropy(logits, labels, label_smoothing=args.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        reached = accuracy(model, x_dev, y_dev)
        print(
            f"epoch {epoch}: loss {total / len(order):.3f}, dev accuracy {reached:.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    print(f"test accuracy {accuracy(model, x_test, y_test):.4f}, {cpu_seconds() / 60:.1f} CPU minutes")


if __name__ == "__main__":
    main()
