"""One small T5 learns two tasks at once, told apart by the first word of its input, from nothing.

python examples/t5_two_tasks.py FOLDER [--steps N]: "sentiment" answers whether a film review is "positive" or
"negative" (FOLDER holds SST-2's train.tsv.gz and test.tsv.gz: text, tab, 0 or 1), "reverse" says up to six
words in reverse. Both are text in, text out: one model, one loss, one generate().
"""

import argparse
import gzip
import time
from collections import Counter
from pathlib import Path

import numpy as np

import dlcore
from dlcore.models import T5Config, T5ForConditionalGeneration

PAD, END, UNKNOWN = 0, 1, 2
ANSWERS = ("negative", "positive")


def read(folder, split):
    """(words, answer) of each review."""
    text = gzip.decompress((Path(folder) / f"{split}.tsv.gz").read_bytes()).decode()
    rows = [line.rsplit("\t", 1) for line in text.splitlines()]
    return [(review.split()[:40], ANSWERS[int(label)]) for review, label in rows]


def reversal(words, rng):
    picked = rng.choice(words, rng.integers(3, 7), replace=False).tolist()
    return ["reverse", *picked], picked[::-1]


def padded(rows, fill=PAD):
    out = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for to, row in zip(out, rows):
        to[: len(row)] = row
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where SST-2's train.tsv.gz and test.tsv.gz are")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32, help="examples of each task a step")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    dlcore.manual_seed(0)
    rng = np.random.default_rng(0)
    train, test = read(args.folder, "train"), read(args.folder, "test")

    counts = Counter(w for words, _ in train for w in words)
    known = [w for w, n in counts.most_common() if n > 1]
    words = ["<pad>", "</s>", "<unk>", "sentiment", "reverse", *ANSWERS]
    words += [w for w in known if w not in words]
    ids = {w: i for i, w in enumerate(words)}
    common = known[:200]  # what is to be reversed

    def encode(text):
        return [*(ids.get(w, UNKNOWN) for w in text), END]

    def decode(row):
        return [words[i] for i in row if i not in (PAD, END)]

    config = T5Config(
        vocab_size=len(words),
        d_model=args.width,
        d_kv=args.width // 4,
        d_ff=2 * args.width,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=32,
        dropout_rate=0.1,
    )
    model = T5ForConditionalGeneration(config)
    print(f"{model.num_parameters():,} parameters, {len(train):,} reviews, {len(words):,} words", flush=True)
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01)
    schedule = dlcore.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 200, max(0.0, 1 - step / args.steps) + 0.02)
    )
    start, losses = time.perf_counter(), []
    for step in range(1, args.steps + 1):
        picked = [train[i] for i in rng.integers(0, len(train), args.batch)]
        pairs = [(["sentiment", *review], [answer]) for review, answer in picked]
        pairs += [reversal(common, rng) for _ in range(args.batch)]
        inputs = padded([encode(source) for source, _ in pairs])
        labels = padded([encode(target) for _, target in pairs], -100)
        model.train()
        optimizer.zero_grad()
        loss = model(
            dlcore.tensor(inputs),
            dlcore.tensor((inputs != PAD).astype(np.int64)),
            labels=dlcore.tensor(labels),
        ).loss
        loss.backward()
        dlcore.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0:
            print(
                f"step {step}, loss {np.mean(losses[-100:]):.3f}, {time.perf_counter() - start:.0f} s",
                flush=True,
            )

    model.eval()

    def accuracy(pairs):
        right = 0
        for at in range(0, len(pairs), 100):
            part = pairs[at : at + 100]
            inputs = padded([encode(source) for source, _ in part])
            found = model.generate(
                dlcore.tensor(inputs),
                attention_mask=dlcore.tensor((inputs != PAD).astype(np.int64)),
                max_new_tokens=8,
                do_sample=False,
            )
            right += sum(decode(row) == target for row, (_, target) in zip(found.tolist(), part))
        return right / len(pairs)

    fresh = np.random.default_rng(1)
    reviews = [(["sentiment", *review], [answer]) for review, answer in test]
    print(f"sentiment: {accuracy(reviews):.3f} of {len(reviews)} test reviews")
    lists = [reversal(common, fresh) for _ in range(1000)]
    print(f"reverse: {accuracy(lists):.3f} of {len(lists)} lists of words, word for word")
    for source, _ in (reviews[0], reviews[1], lists[0], lists[1]):
        row = model.generate(dlcore.tensor([encode(source)]), max_new_tokens=8, do_sample=False)[0].tolist()
        print(f"\n  {' '.join(source)}\n  -> {' '.join(decode(row))}")


if __name__ == "__main__":
    main()
