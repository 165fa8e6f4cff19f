"""Whether a film review is positive, by a bidirectional GRU on SST-2: about 82 % of the test sentences.

python examples/sentiment_sst2.py FOLDER [--epochs N]: FOLDER holds train, dev and test as .tsv.gz (text, tab,
0 or 1). Nothing is pre-trained: words are learnt from the 6,920 sentences alone, so dropout of whole words
and of embeddings decides. Prints the accuracy on the test part of the epoch that is best on dev.
"""

import argparse
import gzip
import time
from collections import Counter
from pathlib import Path

import numpy as np

import dlcore
from dlcore.models import BiGRUClassifier, BiRNNConfig

PAD, UNKNOWN = 0, 1


def read(folder, part):
    """(words, label) of each review."""
    text = gzip.decompress((Path(folder) / f"{part}.tsv.gz").read_bytes()).decode()
    rows = [line.rsplit("\t", 1) for line in text.splitlines()]
    return [(review.split(), int(label)) for review, label in rows]


def batch(pairs, known):
    lengths = np.array([len(words) for words, _ in pairs])
    ids = np.full((len(pairs), lengths.max()), PAD, np.int64)
    for row, (words, _) in zip(ids, pairs):
        row[: len(words)] = [known.get(w, UNKNOWN) for w in words]
    return ids, lengths, np.array([label for _, label in pairs])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where train.tsv.gz, dev.tsv.gz and test.tsv.gz are")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=128, help="of the GRU, each direction")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--pooling", default="max", choices=["last", "mean", "max"])
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--word-dropout", type=float, default=0.15)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dlcore.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, dev, test = (read(args.folder, part) for part in ("train", "dev", "test"))
    counts = Counter(w for words, _ in train for w in words)
    known = {w: i for i, w in enumerate((w for w, n in counts.items() if n > 1), UNKNOWN + 1)}

    model = BiGRUClassifier(
        BiRNNConfig(
            vocab_size=len(known) + 2,
            embed_dim=128,
            hidden_size=args.width,
            dropout=args.dropout,
            pooling=args.pooling,
        )
    )
    print(f"{model.num_parameters():,} parameters, {len(train):,} reviews, {len(known):,} words", flush=True)

    def accuracy(pairs):
        model.eval()
        right = 0
        for at in range(0, len(pairs), 128):
            ids, lengths, labels = batch(pairs[at : at + 128], known)
            right += int((np.array(model.decode(dlcore.tensor(ids), lengths=lengths)) == labels).sum())
        return right / len(pairs)

    optimizer = dlcore.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=args.decay)
    steps = args.epochs * -(-len(train) // args.batch)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=steps + 1, pct_start=0.2
    )
    start, best = time.perf_counter(), (0.0, 0, 0.0)
    for epoch in range(1, args.epochs + 1):
        model.train()
        losses, order = [], rng.permutation(len(train))
        for at in range(0, len(train), args.batch):
            ids, lengths, labels = batch([train[i] for i in order[at : at + args.batch]], known)
            ids[(rng.random(ids.shape) < args.word_dropout) & (ids != PAD)] = UNKNOWN
            loss = model(dlcore.tensor(ids), labels=dlcore.tensor(labels), lengths=lengths).loss
            optimizer.zero_grad()
            loss.backward()
            dlcore.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        reached = accuracy(dev)
        if reached > best[0]:
            best = (reached, epoch, accuracy(test))
        print(
            f"epoch {epoch}: loss {np.mean(losses):.3f}, dev accuracy {reached:.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    print(f"test accuracy {best[2]:.4f} (of epoch {best[1]}, the best on dev)")


if __name__ == "__main__":
    main()
