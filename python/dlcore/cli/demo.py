"""Trains the first CNN that everyone meets, on data that ships with dlcore, in well under a minute.

It shows the training, the test accuracy, a few predictions, and the kernels that did the work beside NumPy.
With matplotlib (the extra dlcore[plot]) it also draws the training curve and a sheet of predictions.

examples:
  dlcore demo
  dlcore demo --epochs 3 --seed 7 --out pictures
  DLCORE_DATA=~/data dlcore demo --data mnist
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

_EPOCHS = {"fashion": 10, "mnist": 2}
_CASES = ("matmul 1024", "conv2d", "max_pool2d", "relu", "softmax", "cross_entropy", "adam")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        choices=sorted(_EPOCHS),
        default="fashion",
        help="fashion: the embedded 3,600 pictures of clothes (default); "
        "mnist: 60,000 digits, from DLCORE_DATA or downloaded",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="default: 10 for fashion, 2 for mnist")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of weights and shuffling (default: 0)"
    )
    parser.add_argument(
        "--out", default="dlcore-demo", metavar="DIR", help="folder for the pictures (default: dlcore-demo)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _load(name: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Both splits as floats of shape (N, 28, 28, 1) with their labels, and the names of the classes."""
    import numpy as np

    from dlcore.datasets import fashion_mnist, mnist

    source = mnist if name == "mnist" else fashion_mnist
    train, test = mnist.load_data() if name == "mnist" else fashion_mnist.load_subset()

    def floats(images: Any) -> Any:
        return (images.astype(np.float32) / np.float32(255))[..., None]

    return (floats(train[0]), train[1]), (floats(test[0]), test[1]), source.CLASS_NAMES


def build_model(input_shape: tuple[int, ...] = (28, 28, 1)) -> Any:
    """The listing."""
    from dlcore.keras import Sequential
    from dlcore.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D

    model = Sequential()
    model.add(Conv2D(32, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Conv2D(64, kernel_size=(3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(128, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def ascii_image(image: Any) -> list[str]:
    """13 lines of 26 characters: a line for two rows of pixels, the border left out."""
    import numpy as np

    ramp = " .:-=+*#%@"
    a = np.asarray(image).reshape(28, 28)[1:27, 1:27]
    levels = (a.reshape(13, 2, 26).mean(1) * 9.99).astype(int)
    return ["".join(ramp[v] for v in line) for line in levels]


def side_by_side(images: Any, captions: list[str]) -> str:
    columns = [[*ascii_image(i), c[:26].ljust(26)] for i, c in zip(images, captions, strict=True)]
    return "\n".join(" ".join(lines).rstrip() for lines in zip(*columns, strict=True))


def _caption(probabilities: Any, label: int, names: tuple[str, ...]) -> str:
    guess = int(probabilities.argmax())
    truth = "" if guess == label else f" (is {names[label]})"
    return f"{names[guess]} {100 * float(probabilities[guess]):.0f} %{truth}"


def _shown(probabilities: Any, labels: Any) -> list[int]:
    """Two that are right, and the most confident mistake: examples are chosen by a rule, not for their
    looks.
    """
    import numpy as np

    guess = probabilities.argmax(1)
    right, wrong = np.flatnonzero(guess == labels), np.flatnonzero(guess != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:1]
    return [int(i) for i in [*right[:2], *worst]]


def _draw(
    out: Path, history: dict[str, list[float]], images: Any, labels: Any, p: Any, names: Any
) -> list[str]:
    """The training curve and a sheet of predictions as PNG. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    epochs = range(1, len(history["loss"]) + 1)
    figure: Any = Figure(figsize=(8, 3.5), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
        ax.plot(epochs, history[key], "o-", label="training")
        if f"val_{key}" in history:
            ax.plot(epochs, history[f"val_{key}"], "o-", label="test")
        ax.set(xlabel="epoch", ylabel=key)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(True, alpha=0.3)
        ax.legend()
    files = [out / "training.png", out / "predictions.png"]
    figure.savefig(files[0], dpi=120)

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    grid: Any = figure.subplots(4, 8)
    for ax, image, label, row in zip(grid.flat, images, labels, p, strict=False):
        ax.imshow(image.reshape(28, 28), cmap="gray_r")
        right = int(row.argmax()) == int(label)
        ax.set_title(
            _caption(row, int(label), names).replace(" (", "\n("), fontsize=7, color="k" if right else "r"
        )
    for ax in grid.flat:
        ax.axis("off")
    figure.savefig(files[1], dpi=120)
    return [str(f) for f in files]


def _kernel_table(say: Any) -> list[dict[str, Any]]:
    from dlcore import bench
    from dlcore.bench import present

    cases = [next((c for c in bench.all_cases() if c.name.startswith(start)), None) for start in _CASES]
    machine = bench.measure_machine(seconds=0.2)
    say(present.machine_line(machine))
    say(present.header())
    results = []
    for result in bench.run([c for c in cases if c is not None], machine, budget=0.3):
        results.append(result)
        say(present.row(result))
    say(present.footer(results))
    return [r.as_dict() for r in results]


def run(arguments: argparse.Namespace) -> int:
    epochs = _EPOCHS[arguments.data] if arguments.epochs is None else arguments.epochs
    if epochs < 1:
        raise ValueError(f"--epochs must be at least 1, got {epochs}")
    from dlcore import _C, config
    from dlcore.keras.utils import set_random_seed

    def say(*text: str) -> None:
        if not arguments.json:
            print(*text, flush=True)

    start = time.perf_counter()
    set_random_seed(arguments.seed)
    (x, y), (x_test, y_test), names = _load(arguments.data)
    say(f"dlcore {_C.__version__} on {config.get_isa()}, {_C.num_threads()} threads")
    say(
        f"{arguments.data}: {len(x):,} images to train on, {len(x_test):,} to test on, {len(names)} classes\n"
    )

    model = build_model(x.shape[1:])
    verbose = 0 if arguments.json else 1
    began = time.perf_counter()
    history = model.fit(
        x, y, epochs=epochs, batch_size=64, validation_data=(x_test, y_test), verbose=verbose
    ).history
    training = time.perf_counter() - began
    loss, accuracy = (float(v) for v in model.evaluate(x_test, y_test, verbose=0))
    say(f"\ntrained in {training:.1f} s; test loss {loss:.4f}, test accuracy {accuracy:.4f}\n")

    p = model.predict(x_test, verbose=0)
    shown = _shown(p, y_test)
    say(side_by_side(x_test[shown], [_caption(p[i], int(y_test[i]), names) for i in shown]), "\n")

    out = Path(arguments.out)
    try:
        pictures = _draw(out, history, x_test, y_test, p, names)
        say(f"training curve and predictions: {', '.join(pictures)}\n")
    except ImportError:
        pictures = []
        note = "no pictures: matplotlib is not installed (pip install 'dlcore[plot]')"
        print(note, file=sys.stderr if arguments.json else sys.stdout)

    kernels = _kernel_table(say)
    seconds = time.perf_counter() - start
    say(f"\nall of it took {seconds:.0f} s; `dlcore bench` times every kernel")
    if arguments.json:
        summary = {
            "data": arguments.data,
            "seed": arguments.seed,
            "epochs": epochs,
            "history": {k: [float(v) for v in values] for k, values in history.items()},
            "loss": loss,
            "accuracy": accuracy,
            "training_seconds": training,
            "seconds": seconds,
            "pictures": pictures,
            "kernels": kernels,
        }
        print(json.dumps(summary, indent=2))
    return 0
