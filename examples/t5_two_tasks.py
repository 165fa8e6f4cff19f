"""One small T5 learns two tasks at once, told apart by the first word of its input: 78 % and 99 % right.

python examples/t5_two_tasks.py FOLDER [--steps N]: "sentiment" answers whether a film review is "positive" or
"negative" (FOLDER holds SST-2's train, dev and test as .tsv.gz: text, tab, 0 or 1), "reverse" says up to six
words in reverse. Both are text in, text out: one model, one generate(), and a loss in which both tasks weigh
the same, however many words their answers have. Nothing is pre-trained. Prints both accuracies on the test
part, and on fresh lists, of the step that is best on dev.
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
    parser.add_argument("folder", help="where train.tsv.gz, dev.tsv.gz and test.tsv.gz are")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32, help="reviews a step, with twice as many lists")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=2, help="of the encoder, and of the decoder")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--word-dropout", type=float, default=0.3, help="of a review's words")
    parser.add_argument("--tasks", nargs="+", default=["sentiment", "reverse"], help="to see what one costs")
    parser.add_argument("--every", type=int, default=200, help="steps between looks at dev")
    args = parser.parse_args()
    dlcore.manual_seed(0)
    rng, fresh = np.random.default_rng(0), np.random.default_rng(1)
    train, dev, test = (read(args.folder, part) for part in ("train", "dev", "test"))

    counts = Counter(w for words, _ in train for w in words)
    known = [w for w, n in counts.most_common() if n > 2]
    words = ["<pad>", "</s>", "<unk>", "sentiment", "reverse", *ANSWERS]
    words += [w for w in known if w not in words]
    ids = {w: i for i, w in enumerate(words)}
    common = known[:100]  # what is to be reversed

    def encode(text):
        return [*(ids.get(w, UNKNOWN) for w in text), END]

    def decode(row):
        return [words[i] for i in row if i not in (PAD, END)]

    config = T5Config(
        vocab_size=len(words),
        d_model=args.width,
        d_kv=args.width // 4,
        d_ff=2 * args.width,
        num_layers=args.layers,
        num_heads=4,
        relative_attention_num_buckets=32,
        dropout_rate=args.dropout,
        feed_forward_proj="gated-gelu",
        scale_decoder_outputs=False,
    )
    model = T5ForConditionalGeneration(config)
    # T5 draws words from N(0, 1), from which some dozens of sightings cannot move one far enough. From a
    # smaller N the tied head needs no scale.
    dlcore.nn.init.normal_(model.shared.weight, 0.0, args.width**-0.5)
    print(f"{model.num_parameters():,} parameters, {len(train):,} reviews, {len(words):,} words", flush=True)
    optimizer = dlcore.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=args.decay)
    schedule = dlcore.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=args.steps + 1, pct_start=0.1
    )

    def reviews():
        """Batches without end, reviews of like length together."""
        while True:
            order = rng.permutation(len(train))
            for at in range(0, len(order) - 20 * args.batch + 1, 20 * args.batch):
                pool = sorted(order[at : at + 20 * args.batch], key=lambda i: len(train[i][0]))
                for g in rng.permutation(20):
                    picked = [train[i] for i in pool[g * args.batch : (g + 1) * args.batch]]
                    inputs = padded([encode(["sentiment", *review]) for review, _ in picked])
                    dropped = (rng.random(inputs.shape) < args.word_dropout) & (inputs > END)
                    dropped[:, 0] = False
                    inputs[dropped] = UNKNOWN
                    yield inputs, padded([encode([answer]) for _, answer in picked], -100)

    def lists():
        while True:
            pairs = [reversal(common, rng) for _ in range(2 * args.batch)]
            yield padded([encode(source) for source, _ in pairs]), padded([encode(t) for _, t in pairs], -100)

    def accuracy(pairs):
        model.eval()
        right, order = 0, sorted(pairs, key=lambda pair: len(pair[0]))
        for at in range(0, len(order), 100):
            part = order[at : at + 100]
            inputs = padded([encode(source) for source, _ in part])
            found = model.generate(
                dlcore.tensor(inputs),
                attention_mask=dlcore.tensor((inputs != PAD).astype(np.int64)),
                max_new_tokens=8,
                do_sample=False,
            )
            right += sum(decode(row) == target for row, (_, target) in zip(found.tolist(), part))
        return right / len(pairs)

    def questions(part, lists):
        found = {
            "sentiment": [(["sentiment", *review], [answer]) for review, answer in part],
            "reverse": [reversal(common, fresh) for _ in range(lists)],
        }
        return {task: found[task] for task in args.tasks}

    tasks = {"sentiment": reviews(), "reverse": lists()}
    tasks = {task: tasks[task] for task in args.tasks}
    held_out, best = questions(dev, 300), (0.0, 0, {})
    losses = {task: [] for task in tasks}
    start, cpu = time.perf_counter(), time.process_time()
    for step in range(1, args.steps + 1):
        model.train()
        optimizer.zero_grad()
        for task, batches in tasks.items():
            inputs, labels = next(batches)
            loss = model(
                dlcore.tensor(inputs),
                dlcore.tensor((inputs != PAD).astype(np.int64)),
                labels=dlcore.tensor(labels),
            ).loss
            loss.backward()  # gradients add up
            losses[task].append(loss.item())
        dlcore.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % args.every == 0 or step == args.steps:
            reached = {task: accuracy(pairs) for task, pairs in held_out.items()}
            if sum(reached.values()) > best[0]:
                weights = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}
                best = (sum(reached.values()), step, weights)
            told = (
                f"{task} loss {np.mean(losses[task][-args.every :]):.3f} and {found:.3f} right on dev"
                for task, found in reached.items()
            )
            print(
                f"step {step}: {', '.join(told)}, {time.perf_counter() - start:.0f} s, "
                f"{time.process_time() - cpu:.0f} s of processor time",
                flush=True,
            )

    model.load_state_dict(best[2])
    print(f"the weights of step {best[1]}, the best on dev:")
    for task, pairs in questions(test, 1000).items():
        print(f"{task}: {accuracy(pairs):.3f} of {len(pairs)}, word for word", flush=True)
        for source, _ in pairs[:2]:
            row = model.generate(dlcore.tensor([encode(source)]), max_new_tokens=8, do_sample=False)[0]
            print(f"  {' '.join(source)}\n  -> {' '.join(decode(row.tolist()))}\n")
    print(f"{time.process_time() - cpu:.0f} s of processor time in all")


if __name__ == "__main__":
    main()
