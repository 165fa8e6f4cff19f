"""A deep belief net on MNIST: greedy pre-training by contrastive divergence, drawn digits, fine-tuning.

    python examples/dbn_mnist.py [FOLDER] [--pretrain-epochs 8] [--epochs 15] [--sizes 500,500,1000]

FOLDER holds MNIST's four idx files; without it they are looked for in DLCORE_DATA, or downloaded. Prints what
each stage took and reached, the accuracy of the generative model before fine-tuning, and a few drawn digits.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dlcore
from dlcore.models import DBN
from dlcore.nn import functional as F


def accuracy(f, x: np.ndarray, y: np.ndarray) -> float:
    with dlcore.no_grad():
        right = sum(
            int((f(dlcore.tensor(x[b : b + 1000])).numpy().argmax(1) == y[b : b + 1000]).sum())
            for b in range(0, len(x), 1000)
        )
    return right / len(x)


def picture(v: np.ndarray) -> str:
    shades = " .:-=+*#%@"
    rows = v.reshape(28, 28)[::2]  # characters are twice as high as wide
    return "\n".join("".join(shades[min(9, int(p * 10))] for p in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", help="where the idx files are")
    parser.add_argument("--sizes", default="500,500,1000")
    parser.add_argument("--pretrain-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    (x, y), (x_test, y_test) = dlcore.datasets.mnist.load_data(arguments.folder)
    x, x_test = (a.reshape(len(a), -1).astype(np.float32) / 255 for a in (x, x_test))
    y, y_test = y.astype(np.int64), y_test.astype(np.int64)

    dlcore.manual_seed(arguments.seed)
    net = DBN([784, *map(int, arguments.sizes.split(","))], num_classes=10, num_labels=10)
    began = time.perf_counter()
    net.pretrain(
        x, y, epochs=arguments.pretrain_epochs, batch_size=100, lr=0.05, rng=arguments.seed, report=print
    )
    print(f"pre-training: {time.perf_counter() - began:.0f} s")
    print(f"generative model alone: test accuracy {accuracy(net.classify, x_test, y_test):.4f}")
    for digit in (3, 8):
        print(picture(net.sample(1, 500, label=digit, rng=digit).numpy()[0]), "\n")

    began = time.perf_counter()
    steps = arguments.epochs * (len(x) // 128)
    optimizer = dlcore.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps + 1)
    order = np.random.default_rng(arguments.seed)
    for epoch in range(arguments.epochs):
        total = 0.0
        for rows in np.array_split(order.permutation(len(x)), len(x) // 128):
            noise = order.random((len(rows), 784), np.float32) > 0.2  # Vincent et al., 2008
            loss = F.cross_entropy(net(dlcore.tensor(x[rows] * noise)), dlcore.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(
            f"epoch {epoch + 1}: loss {total / len(x):.4f}, "
            f"test accuracy {accuracy(net, x_test, y_test):.4f}, {time.perf_counter() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
