"""Speech to letters by a bidirectional LSTM and CTC, on AN4: spelled names, dates; 9 % wrong letters.

python examples/speech_an4.py FOLDER [--epochs N]: FOLDER holds an4_mfcc.zip, the corpus of CMU as cepstra (13
every 10 ms) and transcriptions; no speaker of the 130 test utterances is among the 948 to learn from. Prints
the rates of wrong letters and words, by the best alignment and by a search over prefixes.
"""

import argparse
import time
import zipfile
from pathlib import Path

import numpy as np

import dlcore
from dlcore.models import BiLSTMForCTC, CTCConfig, character_error_rate

BLANK, SYMBOLS = 0, " 'ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def features(mfcc):
    """Cepstra (T, 13) with their first and second differences, each of mean 0 and variance 1: (T, 39)."""

    def slope(x):
        around = np.pad(x, ((2, 2), (0, 0)), "edge")
        return (2 * (around[4:] - around[:-4]) + around[3:-1] - around[1:-3]) / 10

    x = np.concatenate([mfcc, slope(mfcc), slope(slope(mfcc))], 1)
    return ((x - x.mean(0)) / (x.std(0) + 1e-5)).astype(np.float32)


def read(folder, part):
    """(features, text) of each utterance."""
    pairs = []
    with zipfile.ZipFile(Path(folder) / "an4_mfcc.zip") as z:
        names = z.read(f"an4/etc/an4_{part}.fileids").decode().split()
        lines = z.read(f"an4/etc/an4_{part}.transcription").decode().splitlines()
        for name, line in zip(names, lines):
            text = line.rpartition("(")[0].replace("<s>", "").replace("</s>", "").strip()
            values = np.frombuffer(z.read(f"an4/feat/{name}.mfc"), ">f4", offset=4)
            pairs.append((features(values.reshape(-1, 13).astype(np.float32)), text))
    return pairs


def batch(pairs):
    lengths = np.array([len(x) for x, _ in pairs])
    x = np.zeros((len(pairs), lengths.max(), pairs[0][0].shape[1]), np.float32)
    labels = np.full((len(pairs), max(len(text) for _, text in pairs)), -100, np.int64)
    for i, (own, text) in enumerate(pairs):
        x[i, : len(own)] = own
        labels[i, : len(text)] = [SYMBOLS.index(c) + 1 for c in text]
    return x, lengths, labels


def masked(x, lengths, rng):
    """SpecAugment's masks (D. Park et al., 2019), on cepstra: stretches of time, and single coefficients."""
    for own, length in zip(x, lengths):
        for _ in range(2):
            at, wide = rng.integers(0, length), rng.integers(0, 20)
            own[at : at + wide] = 0
        own[:, rng.random(own.shape[1]) < 0.05] = 0
    return x + rng.normal(0, 0.2, x.shape).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where an4_mfcc.zip is")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=160, help="of the LSTM, each direction")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--beams", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dlcore.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, test = read(args.folder, "train"), read(args.folder, "test")
    model = BiLSTMForCTC(
        CTCConfig(
            feature_size=39,
            vocab_size=len(SYMBOLS) + 1,
            hidden_size=args.width,
            num_layers=args.layers,
            dropout=args.dropout,
            subsampling=3,
            conv_channels=128,
            conv_kernel=7,
            pad_token_id=BLANK,
        )
    )
    frames = sum(len(x) for x, _ in train)
    print(
        f"{model.num_parameters():,} parameters, {len(train)} utterances, {frames / 6000:.0f} minutes",
        flush=True,
    )

    def transcribe(beams):
        model.eval()
        texts = []
        for at in range(0, len(test), 26):
            x, lengths, _ = batch(test[at : at + 26])
            rows = model.decode(dlcore.tensor(x), lengths, beams)
            texts += ["".join(SYMBOLS[i - 1] for i in row) for row in rows]
        return texts

    references = [text for _, text in test]
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01)
    steps = args.epochs * -(-len(train) // args.batch)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=steps + 1, pct_start=0.2
    )
    start = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        model.train()
        order = sorted(rng.permutation(len(train)), key=lambda i: len(train[i][0]) // 40)
        groups = [order[i : i + args.batch] for i in range(0, len(order), args.batch)]
        losses = []
        for g in rng.permutation(len(groups)):
            x, lengths, labels = batch([train[i] for i in groups[g]])
            x = dlcore.tensor(masked(x, lengths, rng))
            loss = model(x, lengths, dlcore.tensor(labels)).loss
            optimizer.zero_grad()
            loss.backward()
            dlcore.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        rate = f", test letter error rate {character_error_rate(transcribe(1), references):.3f}"
        print(
            f"epoch {epoch}: loss {np.mean(losses):.3f}{rate if epoch % 5 == 0 else ''}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    for name, beams in (("best alignment", 1), (f"search with {args.beams} prefixes", args.beams)):
        texts = transcribe(beams)
        words = character_error_rate([t.split() for t in texts], [t.split() for t in references])
        letters = character_error_rate(texts, references)
        print(f"{name}: letter error rate {letters:.4f}, word error rate {words:.4f}")
    for text, reference in list(zip(texts, references))[:3]:
        print(f"  {reference}\n  -> {text}")


if __name__ == "__main__":
    main()
