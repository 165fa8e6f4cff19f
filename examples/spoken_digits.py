"""Spoken digits of six speakers, from sound: log-mel features by NumPy, a small network; 99 % of the test.

python examples/spoken_digits.py FOLDER [--epochs N] [--model cnn|gru]: FOLDER holds fsdd_0-24.zip, recordings
0 to 24 of each digit and speaker of the Free Spoken Digit Dataset (8 kHz); 0 to 4 are the test part, as its
authors have it, and no epoch is chosen by it. Prints the accuracy of each epoch and of each speaker.
"""

import argparse
import io
import time
import wave
import zipfile
from pathlib import Path

import numpy as np

import dlcore
from dlcore import nn

RATE, WINDOW, HOP, BANDS, FRAMES = 8000, 256, 80, 40, 96  # 32 ms every 10 ms; of longer sounds 96 frames


def mel_filters():
    """Triangles, evenly spaced on the mel scale from 60 to 4000 Hz: (BANDS, WINDOW / 2 + 1)."""
    mel = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))


def log_mel(sound, filters):
    """(samples,) -> (frames, BANDS), of mean 0 and variance 1."""
    sound = np.pad(sound, (WINDOW // 2, WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    x = np.log(power @ filters.T + 1e-6)
    return ((x - x.mean()) / (x.std() + 1e-5)).astype(np.float32)


def read(folder):
    """(features, digit, speaker, index) of each recording."""
    filters, rows = mel_filters(), []
    with zipfile.ZipFile(Path(folder) / "fsdd_0-24.zip") as z:
        for name in sorted(n for n in z.namelist() if n.endswith(".wav")):
            digit, speaker, index = Path(name).stem.split("_")
            with wave.open(io.BytesIO(z.read(name))) as w:
                sound = np.frombuffer(w.readframes(w.getnframes()), "<i2") / 32768
            rows.append((log_mel(sound, filters), int(digit), speaker, int(index)))
    return rows


def batch(rows, rng=None):
    """(B, FRAMES, BANDS) and lengths; with `rng` some frames and bands are silent, and there is noise."""
    lengths = np.array([min(len(x), FRAMES) for x, *_ in rows])
    out = np.zeros((len(rows), FRAMES, BANDS), np.float32)
    for i, ((x, *_), length) in enumerate(zip(rows, lengths)):
        out[i, :length] = x[:length]
        if rng is not None:
            at, band = rng.integers(0, length), rng.integers(0, BANDS)
            out[i, at : at + rng.integers(0, 8)] = 0
            out[i, :, band : band + rng.integers(0, 6)] = 0
            out[i, :length] += rng.normal(0, 0.1, (length, BANDS))
    return out, lengths


class CNN(nn.Module):
    """Three convolutions over time and bands, the mean over time: which band it is stays known."""

    def __init__(self, width=24):
        super().__init__()
        layers, inputs = [], 1
        for outputs in (width, 2 * width, 4 * width):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(inputs * (BANDS // 8), 10))

    def forward(self, x, lengths):
        return self.head(self.features(x.unsqueeze(1)).mean(2).flatten(1))  # (B, 4 width BANDS / 8)


class GRU(nn.Module):
    """A GRU of both directions, two layers, the mean of its states over each sound's own frames."""

    def __init__(self, width=96):
        super().__init__()
        self.rnn = nn.GRU(BANDS, width, 2, batch_first=True, dropout=0.3, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, 10))

    def forward(self, x, lengths):
        states, _ = self.rnn(x, lengths=lengths)
        return self.head(states.sum(1) / dlcore.tensor(lengths[:, None].astype(np.float32)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where fsdd_0-24.zip is")
    parser.add_argument("--model", default="cnn", choices=["cnn", "gru"])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dlcore.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    start = time.perf_counter()
    rows = read(args.folder)
    train, test = [r for r in rows if r[3] >= 5], [r for r in rows if r[3] < 5]
    model = {"cnn": CNN, "gru": GRU}[args.model]()
    n = sum(p.numel() for p in model.parameters())
    print(
        f"{n:,} parameters, {len(train):,} recordings read in {time.perf_counter() - start:.1f} s", flush=True
    )

    def right():
        """Which of the test recordings are told."""
        model.eval()
        found = []
        for at in range(0, len(test), 100):
            part = test[at : at + 100]
            x, lengths = batch(part)
            with dlcore.no_grad():
                found += model(dlcore.tensor(x), lengths).argmax(-1).tolist()
        return np.array(found) == [digit for _, digit, *_ in test]

    optimizer = dlcore.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.02)
    steps = args.epochs * -(-len(train) // args.batch)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=steps + 1)
    start = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        model.train()
        losses, order = [], rng.permutation(len(train))
        for at in range(0, len(train), args.batch):
            part = [train[i] for i in order[at : at + args.batch]]
            x, lengths = batch(part, rng)
            logits = model(dlcore.tensor(x), lengths)
            loss = nn.functional.cross_entropy(logits, dlcore.tensor([digit for _, digit, *_ in part]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch}: loss {np.mean(losses):.3f}, test accuracy {right().mean():.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    told = right()
    speakers = np.array([speaker for *_, speaker, _ in test])
    each = ", ".join(f"{s} {told[speakers == s].mean():.2f}" for s in sorted(set(speakers)))
    print(f"test accuracy {told.mean():.4f} of {len(test)} recordings: {each}")


if __name__ == "__main__":
    main()
