"""The tasks of `dlcore train`: each has its data, a model, the summed loss of a batch, and a way to be saved.

All draw from one generator for the order of the data, so that a training repeats by its seed.
"""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcore import data, models, nn
from dlcore.autograd import no_grad
from dlcore.cli.train_config import Config, ConfigError
from dlcore.hub import write_text
from dlcore.io import save_file
from dlcore.nn import functional as F
from dlcore.tensor import Tensor, tensor

__all__ = ["Task", "make"]

Row = tuple[list[int], int]


class Task:
    """`loader` and `validation` hand out batches, tuples of tensors whose last one is the targets."""

    model: Any
    loader: data.DataLoader
    validation: data.DataLoader

    def logits(self, batch: Sequence[Any]) -> Tensor:
        out: Tensor = self.model(*batch[:-1])
        return out

    def loss(self, batch: Sequence[Any]) -> tuple[Tensor, int]:
        """The summed loss and what to divide it by."""
        return F.cross_entropy(self.logits(batch), batch[-1].reshape(-1), reduction="sum"), batch[-1].numel()

    def evaluate(self) -> tuple[float, float]:
        """The mean loss and the share of right answers, on the validation data."""
        self.model.eval()
        total, right, count = 0.0, 0, 0
        with no_grad():
            for batch in self.validation:
                logits, target = self.logits(batch), batch[-1].reshape(-1)
                total += float(F.cross_entropy(logits, target, reduction="sum").item())
                right += int((logits.numpy().argmax(-1) == target.numpy()).sum())
                count += target.numel()
        self.model.train()
        return total / count, right / count

    def _load(self, config: Config, train: Any, held: Any, **options: Any) -> None:
        if not len(train) or not len(held):
            raise ValueError(
                f"data.path: needs examples to train on and to validate, got {len(train)} and {len(held)}"
            )
        size = config["optimizer"]["batch_size"]
        rng = np.random.default_rng(config["run"]["seed"])
        self.loader = data.DataLoader(train, size, shuffle=True, generator=rng, **options)
        self.validation = data.DataLoader(held, size, **options)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def _save_plain(folder: Path, model: nn.Module, description: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    write_text(folder / "config.json", json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def _split(n: int, config: Config) -> tuple[list[int], list[int]]:
    """Numbers to train on and numbers held out, drawn by the seed."""
    order = np.random.default_rng(config["run"]["seed"]).permutation(n).tolist()
    held = max(1, round(n * config["data"]["validation"]))
    return order[held:], order[:held]


# ---- images ------------------------------------------------------------------------------------------------


def _image_folder(root: Path, size: int, channels: int) -> tuple[Any, Any, list[str]]:
    try:
        from PIL import Image
    except ImportError as e:
        raise ImportError("folders of images need Pillow: pip install pillow") from e
    classes = sorted(p.name for p in root.iterdir() if p.is_dir())
    if len(classes) < 2:
        raise ValueError(f"data.path: {root} must hold idx files or one subfolder for each class")
    images, labels = [], []
    for i, name in enumerate(classes):
        for path in sorted(p for p in (root / name).iterdir() if p.is_file() and p.name[0] != "."):
            with Image.open(path) as image:
                picture = image.convert("L" if channels == 1 else "RGB").resize((size, size))
            images.append(np.asarray(picture, np.uint8).reshape(size, size, channels).transpose(2, 0, 1))
            labels.append(i)
    return np.stack(images), np.array(labels, np.int64), classes


class ImageClassification(Task):
    def __init__(self, config: Config) -> None:
        root, options = Path(config["data"]["path"]), config["data"]
        if not root.is_dir():
            raise FileNotFoundError(f"data.path: no such folder: {root}")
        size, channels = config["model"]["image_size"], options["channels"]
        if any("idx3" in p.name for p in root.iterdir()):
            (x, y), (vx, vy) = self._idx(root)
            size, channels, classes = 28, 1, [str(i) for i in range(10)]
        else:
            if channels == 2:
                raise ConfigError("data.channels must be 1 or 3, got 2")
            images, labels, classes = _image_folder(root, size, channels)
            train, held = _split(len(labels), config)
            (x, y), (vx, vy) = (images[train], labels[train]), (images[held], labels[held])
        if options["limit"]:
            x, y = x[: options["limit"]], y[: options["limit"]]
        mean, std = float(x.mean()), float(x.std()) or 1.0

        def scaled(images: Any) -> Any:
            return ((images.astype(np.float32) - mean) / std).astype(np.float32)

        self.model = self._model(config["model"]["name"], len(classes), channels, size)
        self.description = {
            "model": config["model"]["name"], "classes": classes, "channels": channels,
            "image_size": size, "mean": mean, "std": std,
        }  # fmt: skip
        self._load(
            config,
            data.TensorDataset(tensor(scaled(x)), tensor(y.astype(np.int64))),
            data.TensorDataset(tensor(scaled(vx)), tensor(vy.astype(np.int64))),
        )

    @staticmethod
    def _idx(root: Path) -> Any:
        from dlcore.datasets import fashion_mnist, mnist

        try:
            pairs = mnist.load_data(str(root))
        except ValueError as e:
            if "Fashion-MNIST" not in str(e):
                raise
            pairs = fashion_mnist.load_data(str(root))
        return [(x.reshape(-1, 1, 28, 28), y) for x, y in pairs]

    @staticmethod
    def _model(name: str, classes: int, channels: int, size: int) -> nn.Module:
        make = getattr(models, name, None) if name in models.__all__ else None
        takes = inspect.signature(make).parameters if callable(make) else {}
        if make is None or "num_classes" not in takes:
            raise ConfigError(f"model.name must be an image model, such as LeNet5, got {name!r}")
        given = {"in_channels": channels, "image_size": size}
        model: nn.Module = make(num_classes=classes, **{k: v for k, v in given.items() if k in takes})
        return model

    def save(self, folder: Path) -> None:
        _save_plain(folder, self.model, self.description)


# ---- language ----------------------------------------------------------------------------------------------


class _Windows(data.Dataset[Any]):
    """`context` tokens from anywhere in a text, and those one further on."""

    def __init__(self, ids: Any, context: int) -> None:
        self.ids, self.context = ids, context

    def __len__(self) -> int:
        return max(0, len(self.ids) - self.context)

    def __getitem__(self, i: int) -> Any:
        part = self.ids[i : i + self.context + 1]
        return part[:-1], part[1:]


def _character_tokenizer(text: str) -> Any:
    """One token a character of the text, and one for all others."""
    try:
        import tokenizers
    except ImportError as e:
        raise ImportError("language-modelling needs tokenizers: pip install 'dlcore[text]'") from e
    from dlcore.tokenization import PreTrainedTokenizer

    vocabulary = {c: i for i, c in enumerate(["<unk>", *sorted(set(text))])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    backend.decoder = tokenizers.decoders.Fuse()
    return PreTrainedTokenizer(backend, {"unk_token": "<unk>"})


class LanguageModelling(Task):
    def __init__(self, config: Config) -> None:
        text = Path(config["data"]["path"]).read_text(encoding="utf-8")
        folder, m = config["data"]["tokenizer"], config["model"]
        if folder:
            self.tokenizer = models.AutoTokenizer.from_pretrained(folder)
        else:
            self.tokenizer = _character_tokenizer(text)
        ids = np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)
        cut, context = len(ids) - round(len(ids) * config["data"]["validation"]), m["context"]
        train, held = _Windows(ids[:cut], context), _Windows(ids[cut:], context)
        if not len(train) or not len(held):
            raise ValueError(
                f"model.context must be shorter than both parts of the text, got {context} and {cut} and "
                f"{len(ids) - cut} tokens"
            )
        self.model = models.GPT2LMHeadModel(
            models.GPT2Config(
                vocab_size=len(self.tokenizer), n_positions=context, n_embd=m["width"], n_layer=m["layers"],
                n_head=m["heads"], resid_pdrop=m["dropout"], embd_pdrop=m["dropout"],
                attn_pdrop=m["dropout"], bos_token_id=None, eos_token_id=self.tokenizer.eos_token_id,
            )
        )  # fmt: skip
        # an epoch is as many tokens as the text has; validation is on windows side by side
        rng = np.random.default_rng(config["run"]["seed"])
        sampler = data.RandomSampler(train, True, max(1, len(train) // context), generator=rng)
        size = config["optimizer"]["batch_size"]
        self.loader = data.DataLoader(train, size, sampler=sampler, generator=rng)
        self.validation = data.DataLoader(data.Subset(held, range(0, len(held), context)), size)

    def logits(self, batch: Sequence[Any]) -> Tensor:
        logits: Tensor = self.model(batch[0], use_cache=False).logits  # (B, T, V)
        return logits.reshape(-1, logits.shape[-1])  # (B T, V)

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


# ---- texts and their labels --------------------------------------------------------------------------------


def _lines(path: str) -> list[tuple[str, str]]:
    out = []
    for n, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            text, tab, label = line.rstrip("\r").rpartition("\t")
            if not tab or not label:
                raise ValueError(f"{path}: line {n} must be text, tab, label")
            out.append((text, label))
    return out


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _padded(rows: list[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (B, T), 1 where there is a token (B, T), labels (B,)."""
    ids = np.zeros((len(rows), max(len(r) for r, _ in rows)), np.int64)
    mask = np.zeros_like(ids)
    for i, (row, _) in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return tensor(ids), tensor(mask), tensor(np.array([label for _, label in rows], np.int64))


class BiGRU(nn.Module):
    """ids (B, T) and their mask (B, T) -> logits (B, labels), from the last states of both directions."""

    def __init__(self, words: int, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * width, labels)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.dropout(self.embedding(ids))  # (B, T, E)
        _, h = self.gru(x, lengths=mask.numpy().sum(1).tolist())  # (2, B, E)
        h = h.transpose(0, 1).reshape(ids.shape[0], -1)  # (B, 2 E)
        logits: Tensor = self.classifier(self.dropout(h))
        return logits


class TextClassification(Task):
    def __init__(self, config: Config) -> None:
        options, m = config["data"], config["model"]
        rows = _lines(options["path"])
        if options["validation_path"]:
            train, held = rows, _lines(options["validation_path"])
        else:
            first, second = _split(len(rows), config)
            train, held = [rows[i] for i in first], [rows[i] for i in second]
        self.labels = sorted({label for _, label in rows})
        number = {label: i for i, label in enumerate(self.labels)}
        if unknown := {label for _, label in held} - set(number):
            raise ValueError(f"data.validation_path: labels must be those of data.path, got {min(unknown)}")
        limit = options["max_length"]
        self.tokenizer: Any = None
        if m["path"]:
            self.tokenizer = models.AutoTokenizer.from_pretrained(m["path"])
            names = dict(enumerate(self.labels))
            kind: Any = models.AutoModelForSequenceClassification
            self.model = kind.from_pretrained(m["path"], id2label=names, label2id=number)

            def encode(text: str) -> list[int]:
                ids: list[int] = self.tokenizer(text, truncation=True, max_length=limit)["input_ids"]
                return ids
        else:
            counts = Counter(w for text, _ in train for w in _words(text))
            kept = sorted(w for w, n in counts.items() if n >= m["min_count"])
            self.words = ["<pad>", "<unk>", *kept]
            ids = {w: i for i, w in enumerate(self.words)}
            self.model = BiGRU(len(ids), m["width"], len(number), m["dropout"])

            def encode(text: str) -> list[int]:
                return [ids.get(w, 1) for w in _words(text)[:limit]] or [1]

        self._load(
            config,
            [(encode(text), number[label]) for text, label in train],
            [(encode(text), number[label]) for text, label in held],
            collate_fn=_padded,
        )

    def logits(self, batch: Sequence[Any]) -> Tensor:
        out = self.model(*batch[:-1])
        logits: Tensor = out if self.tokenizer is None else out.logits
        return logits

    def save(self, folder: Path) -> None:
        if self.tokenizer is None:
            width = self.model.classifier.weight.shape[1] // 2
            description = {"model": "BiGRU", "labels": self.labels, "width": width, "words": self.words}
            _save_plain(folder, self.model, description)
        else:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def make(task: str, config: Config) -> Task:
    kinds: dict[str, type[Any]] = {
        "image-classification": ImageClassification,
        "language-modelling": LanguageModelling,
        "text-classification": TextClassification,
    }
    out: Task = kinds[task](config)
    return out
