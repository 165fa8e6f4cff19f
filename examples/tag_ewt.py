"""Parts of speech in English web text (UD English EWT) by a bidirectional LSTM: about 95 % of the test words.

python examples/tag_ewt.py FOLDER [--epochs N] [--crf]: FOLDER holds en_ewt-ud-{train,dev,test}.conllu.gz
(https://universaldependencies.org). A word is its embedding and what its spelling tells: a convolution over
its letters, which is all there is for a word never seen. Prints the accuracy of the words of the test part,
also of those that the training part lacks.
"""

import argparse
import gzip
import time
from collections import Counter
from pathlib import Path

import numpy as np

import dlcore
from dlcore import nn
from dlcore.models import BiLSTMTagger, BiRNNConfig

PAD, UNKNOWN = 0, 1
LETTERS = 16  # a word's first 8 and last 8


def read(folder, part):
    """(words, tags) of each sentence."""
    text = gzip.decompress((Path(folder) / f"en_ewt-ud-{part}.conllu.gz").read_bytes()).decode()
    sentences = []
    for block in text.strip().split("\n\n"):
        rows = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
        rows = [row for row in rows if row[0].isdigit()]  # neither 8-9, a contraction, nor 8.1, left out
        sentences.append(([row[1] for row in rows], [row[3] for row in rows]))
    return sentences


def numbered(symbols):
    return {s: i for i, s in enumerate(symbols, UNKNOWN + 1)}


class Spelling(nn.Module):
    """max over positions of a convolution over a word's letters: (B, T, LETTERS) -> (B, T, width)."""

    def __init__(self, letters, embed, width):
        super().__init__()
        self.embed = nn.Embedding(letters, embed, padding_idx=PAD)
        self.conv = nn.Conv1d(embed, width, 3, padding=1)

    def forward(self, ids):
        B, T, L = ids.shape
        x = self.embed(ids.reshape(B * T, L)).transpose(1, 2)  # (B T, embed, L)
        return nn.functional.amax(self.conv(x), -1).relu().reshape(B, T, -1)


class Data:
    """Sentences as numbers, in batches of like length."""

    def __init__(self, train):
        counts = Counter(w.lower() for words, _ in train for w in words)
        self.words = numbered(w for w, n in counts.items() if n > 1)
        self.letters = numbered(sorted({c for words, _ in train for w in words for c in w}))
        self.tags = sorted({t for _, tags in train for t in tags})
        self.seen = {w for words, _ in train for w in words}
        self.tag_ids = {t: i for i, t in enumerate(self.tags)}
        self.spelled = {}

    def spell(self, word):
        if word not in self.spelled:
            part = word if len(word) <= LETTERS else word[: LETTERS // 2] + word[-LETTERS // 2 :]
            row = [self.letters.get(c, UNKNOWN) for c in part]
            self.spelled[word] = row + [PAD] * (LETTERS - len(row))
        return self.spelled[word]

    def batch(self, sentences):
        """(word ids (B, T), letters (B, T, LETTERS), tags (B, T), lengths (B,))."""
        lengths = np.array([len(words) for words, _ in sentences])
        shape = (len(sentences), lengths.max())
        ids, tags = np.zeros(shape, np.int64), np.full(shape, -100, np.int64)
        letters = np.zeros((*shape, LETTERS), np.int64)
        for i, (words, own) in enumerate(sentences):
            ids[i, : len(words)] = [self.words.get(w.lower(), UNKNOWN) for w in words]
            letters[i, : len(words)] = [self.spell(w) for w in words]
            tags[i, : len(words)] = [self.tag_ids[t] for t in own]
        return ids, letters, tags, lengths

    def batches(self, sentences, size, rng=None):
        order = np.arange(len(sentences)) if rng is None else rng.permutation(len(sentences))
        order = sorted(order, key=lambda i: len(sentences[i][0]))
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        for g in range(len(groups)) if rng is None else rng.permutation(len(groups)):
            chosen = [sentences[i] for i in groups[g]]
            yield chosen, self.batch(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where en_ewt-ud-{train,dev,test}.conllu.gz are")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=128, help="of the LSTM, each direction")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--crf", action="store_true", help="score whole sequences of tags")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dlcore.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, dev, test = (read(args.folder, part) for part in ("train", "dev", "test"))
    data = Data(train)

    spelling = Spelling(len(data.letters) + 2, 32, 64)
    tagger = BiLSTMTagger(
        BiRNNConfig(
            vocab_size=len(data.words) + 2,
            embed_dim=100,
            feature_size=64,
            hidden_size=args.width,
            dropout=0.4,
            crf=args.crf,
            num_labels=len(data.tags),
        )
    )
    parts = nn.ModuleList([spelling, tagger])
    n = sum(p.numel() for p in parts.parameters())
    print(f"{n:,} parameters, {len(train):,} sentences, {len(data.words):,} words", flush=True)

    def accuracy(sentences):
        """(of all words, of words that training lacks)."""
        parts.eval()
        right, new = [], []
        for chosen, (ids, letters, _, lengths) in data.batches(sentences, 64):
            with dlcore.no_grad():
                features = spelling(dlcore.tensor(letters))
            found = tagger.decode(dlcore.tensor(ids), lengths=lengths, features=features)
            for (words, tags), row in zip(chosen, found):
                right += [data.tags[f] == t for f, t in zip(row, tags)]
                new += [w not in data.seen for w in words]
        return np.mean(right), np.mean(np.array(right)[new])

    optimizer = dlcore.optim.AdamW(parts.parameters(), lr=args.rate, weight_decay=0.01)
    steps = args.epochs * -(-len(train) // args.batch)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=steps + 1, pct_start=0.1
    )
    start = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        parts.train()
        losses = []
        for _, (ids, letters, tags, lengths) in data.batches(train, args.batch, rng):
            ids[rng.random(ids.shape) < 0.05] = UNKNOWN  # so that spelling alone is learnt from, too
            features = spelling(dlcore.tensor(letters))
            loss = tagger(
                dlcore.tensor(ids), labels=dlcore.tensor(tags), lengths=lengths, features=features
            ).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parts.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch}: loss {np.mean(losses):.3f}, dev accuracy {accuracy(dev)[0]:.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    every, new = accuracy(test)
    print(f"test accuracy {every:.4f}, of words not in the training part {new:.4f}")


if __name__ == "__main__":
    main()
