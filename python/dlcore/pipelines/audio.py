"""Speech recognition: from a wave to text."""

from __future__ import annotations

import os
import wave
from typing import Any

import numpy as np

from dlcore.pipelines.base import Pipeline
from dlcore.tensor import Tensor, tensor

__all__ = ["AutomaticSpeechRecognitionPipeline", "log_mel", "read_wave"]

Array = np.ndarray[Any, Any]


def read_wave(path: str | os.PathLike[str]) -> tuple[Array, int]:
    """The samples of a .wav file of integers, (n,) float32 in [-1, 1), its channels averaged; and its rate.

    Raises FileNotFoundError, and ValueError for what is no such file.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as e:
        raise ValueError(f"pipeline: not a .wav file of integer samples: {os.fspath(path)!r} ({e})") from e
    raw = raw[: len(raw) // (width * channels) * (width * channels)]
    x: Array
    if width == 1:  # the only unsigned one
        x = np.frombuffer(raw, np.uint8).astype(np.float32) / 128 - 1
    elif width == 3:
        three = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        four = np.concatenate([np.zeros((len(three), 1), np.uint8), three], 1)
        x = four.view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        x = np.frombuffer(raw, f"<i{width}").astype(np.float32) / 2.0 ** (8 * width - 1)
    return x.astype(np.float32).reshape(-1, channels).mean(1), rate


def log_mel(samples: Array, rate: int, bins: int, window: float = 0.025, step: float = 0.01) -> Array:
    """log of the energy in `bins` triangular bands, even on the mel scale, of Hann windows of `window`
    seconds every `step`; each band of mean 0 and variance 1: (T, bins) float32.

    S. Davis, P. Mermelstein: Comparison of parametric representations for monosyllabic word recognition
    (1980). Raises ValueError for samples shorter than one window.
    """
    size, hop = round(rate * window), round(rate * step)
    if hop < 1 or len(samples) < size:
        raise ValueError(
            f"pipeline: a waveform must last {window} s at least, got {len(samples)} samples at {rate} Hz"
        )
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]  # (T, size)
    n = 1 << (size - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * np.hanning(size), n)) ** 2  # (T, n / 2 + 1)
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bins + 2) / 2595) - 1)
    f = np.fft.rfftfreq(n, 1 / rate)[:, None]
    rise, fall = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    x = np.log(power @ np.clip(np.minimum(rise, fall), 0, None) + 1e-10)
    out: Array = ((x - x.mean(0)) / (x.std(0) + 1e-5)).astype(np.float32)
    return out


class AutomaticSpeechRecognitionPipeline(Pipeline):
    """{"text": ...} of a recording, by a model of connectionist temporal classification.

    A recording is a .wav file's path, a waveform (n,), {"raw": waveform, "sampling_rate": Hz}, or features
    (T, F) as the model was trained with. `feature_extractor(waveform, rate)` makes features of waveforms;
    `log_mel` of the model's feature_size does where none is given. A waveform alone has the rate of the
    model's `config.sampling_rate` (16000 without one), and a file must have that. Symbols are
    `labels`, else the model's config.id2label, or what `tokenizer.decode` says; `beam_width` above 1 searches
    over prefixes.

    Raises FileNotFoundError for a missing file, ValueError for shapes, rates and labels, TypeError for what
    is no recording.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        task: str = "",
        feature_extractor: Any = None,
        labels: Any = None,
        **defaults: Any,
    ) -> None:
        super().__init__(model, tokenizer, task, **defaults)
        config = model.config
        self.extract = feature_extractor
        self.known_rate = getattr(config, "sampling_rate", None)
        self.labels = config.id2label if labels is None else dict(enumerate(labels))
        if tokenizer is None and len(self.labels) != config.vocab_size:
            raise ValueError(
                f"pipeline: labels must name the model's {config.vocab_size} symbols, the blank too "
                f"(config.id2label, or labels=[...]), got {len(self.labels)}"
            )

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, (str, os.PathLike, dict, np.ndarray, Tensor))

    def run(self, batch: list[Any], beam_width: int = 1, **options: Any) -> list[Any]:
        if options:
            raise TypeError(f"pipeline: unknown options: {', '.join(options)}")
        if beam_width < 1:
            raise ValueError(f"pipeline: beam_width must be positive, got {beam_width}")
        features = [self._features(x) for x in batch]
        lengths = [len(x) for x in features]
        padded = np.zeros((len(batch), max(lengths), self.model.config.feature_size), self.model.dtype)
        for own, x in zip(padded, features):
            own[: len(x)] = x
        rows = self.model.decode(tensor(padded), lengths, beam_width)
        return [{"text": self._text(row)} for row in rows]

    def _text(self, row: list[int]) -> str:
        if self.tokenizer is not None:
            return str(self.tokenizer.decode(row))
        return "".join(self.labels[i] for i in row)

    def _features(self, x: Any) -> Array:
        """(T, F) of one recording."""
        rate, size = self.known_rate or 16000, self.model.config.feature_size
        if isinstance(x, dict):
            if "raw" not in x:
                raise ValueError(f"pipeline: a recording must have 'raw', got {', '.join(map(str, x))}")
            x, rate = x["raw"], x.get("sampling_rate", rate)
        elif isinstance(x, (str, os.PathLike)):
            x, rate = read_wave(x)
        if self.known_rate is not None and rate != self.known_rate:
            raise ValueError(f"pipeline: the sampling rate must be {self.known_rate}, got {rate}")
        if isinstance(x, Tensor):
            x = x.detach().numpy()
        if not isinstance(x, np.ndarray):
            raise TypeError(
                f"pipeline: a recording must be a path, an ndarray or a dict, got {type(x).__name__}"
            )
        if x.ndim == 1:
            x = log_mel(x, rate, size) if self.extract is None else np.asarray(self.extract(x, rate))
        if x.ndim != 2 or x.shape[1] != size or len(x) < 1:
            raise ValueError(f"pipeline: a recording must be a waveform (n,) or (T, {size}), got {x.shape}")
        found: Array = x
        return found
