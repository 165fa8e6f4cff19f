"""The Transformer of 2017 learns to translate English into German, on the 29,000 captions of Multi30k.

python examples/translate_multi30k.py FOLDER [--minutes N] [--peer torch]: FOLDER holds train, val and
test_2016_flickr as .en.gz and .de.gz (https://github.com/multi30k/dataset). Words become byte pairs by the
tokenizers package, BLEU is sacrebleu's. With --peer torch the same model, from the same initial weights and
on the same batches, is PyTorch's nn.Transformer.
"""

import argparse
import gzip
import math
import time
from pathlib import Path

import numpy as np
import sacrebleu
import tokenizers

import dlcore
from dlcore.models import Transformer, TransformerConfig, transformer_schedule

PAD, START, END = 0, 1, 2


def read(folder, split):
    """(English, German) lines."""
    return tuple(
        gzip.decompress((Path(folder) / f"{split}.{language}.gz").read_bytes()).decode().splitlines()
        for language in ("en", "de")
    )


def byte_pairs(lines, size):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def encode(tokenizer, lines):
    return [[*e.ids, END] for e in tokenizer.encode_batch(list(lines))]


def padded(rows, fill=PAD):
    out = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for to, row in zip(out, rows):
        to[: len(row)] = row
    return out


def batches(sources, targets, size, rng):
    """Shuffled, with pairs of like length together: (ids, mask, labels)."""
    order = rng.permutation(len(sources))
    for pool in np.array_split(order, max(1, len(order) // (50 * size))):
        pool = sorted(pool, key=lambda i: (len(sources[i]), len(targets[i])))
        groups = [pool[i : i + size] for i in range(0, len(pool), size)]
        for g in rng.permutation(len(groups)):
            ids = padded([sources[i] for i in groups[g]])
            yield ids, (ids != PAD).astype(np.int64), padded([targets[i] for i in groups[g]], -100)


class Dlcore:
    def __init__(self, model, args):
        self.model = model
        self.optimizer = dlcore.optim.Adam(model.parameters(), lr=args.rate, betas=(0.9, 0.98), eps=1e-9)
        factor = transformer_schedule(args.width, args.warmup)
        self.schedule = dlcore.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def step(self, ids, mask, labels):
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.model(dlcore.tensor(ids), dlcore.tensor(mask), labels=dlcore.tensor(labels)).loss
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def evaluate(self, ids, mask, labels):
        self.model.eval()
        with dlcore.no_grad():
            return self.model(
                dlcore.tensor(ids), dlcore.tensor(mask), labels=dlcore.tensor(labels)
            ).loss.item()

    def translate(self, ids, mask, beams):
        return self.model.translate(dlcore.tensor(ids), dlcore.tensor(mask), num_beams=beams).tolist()


class Torch:
    """The same model, data and steps in PyTorch."""

    def __init__(self, model, args):
        import torch

        self.torch, c = torch, model.config
        self.net = torch.nn.Transformer(
            c.d_model,
            c.num_heads,
            c.num_encoder_layers,
            c.num_decoder_layers,
            c.d_ff,
            c.dropout,
            batch_first=True,
        )
        state = {n: torch.from_numpy(t.detach().numpy().copy()) for n, t in model.state_dict().items()}
        self.net.load_state_dict({n: t for n, t in state.items() if n in self.net.state_dict()})
        self.table = torch.nn.Parameter(state["lm_head.weight"])
        self.pe = torch.from_numpy(model.encoder.pe.numpy().copy())
        self.dropout = torch.nn.Dropout(c.dropout)
        self.smoothing, self.scale = c.label_smoothing, math.sqrt(c.d_model)
        parameters = [*self.net.parameters(), self.table]
        self.optimizer = torch.optim.Adam(parameters, lr=args.rate, betas=(0.9, 0.98), eps=1e-9)
        factor = transformer_schedule(args.width, args.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def embedded(self, ids):
        x = self.torch.nn.functional.embedding(ids, self.table) * self.scale
        return self.dropout(x + self.pe[: ids.shape[1]])

    def encode(self, ids, unseen):
        return self.net.encoder(self.embedded(ids), src_key_padding_mask=unseen)

    def logits(self, memory, unseen, targets):
        causal = self.net.generate_square_subsequent_mask(targets.shape[1])
        y = self.net.decoder(
            self.embedded(targets),
            memory,
            tgt_mask=causal,
            memory_key_padding_mask=unseen,
            tgt_is_causal=True,
        )
        return y @ self.table.T

    def loss(self, ids, mask, labels, smoothing):
        torch = self.torch
        unseen, labels = torch.from_numpy(mask == 0), torch.from_numpy(labels)
        inputs = torch.cat([torch.full((len(labels), 1), START), labels[:, :-1].clamp(min=PAD)], 1)
        logits = self.logits(self.encode(torch.from_numpy(ids), unseen), unseen, inputs)
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing
        )

    def step(self, ids, mask, labels):
        self.net.train()
        self.dropout.train()
        self.optimizer.zero_grad()
        loss = self.loss(ids, mask, labels, self.smoothing)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def evaluate(self, ids, mask, labels):
        self.net.eval()
        self.dropout.eval()
        with self.torch.no_grad():
            return self.loss(ids, mask, labels, 0.0).item()

    def translate(self, ids, mask, beams):
        """Greedy whatever `beams` is, each token from the whole."""
        torch = self.torch
        with torch.no_grad():
            unseen = torch.from_numpy(mask == 0)
            memory = self.encode(torch.from_numpy(ids), unseen)
            targets = torch.full((len(ids), 1), START)
            while targets.shape[1] < ids.shape[1] + 50 and not (targets == END).any(1).all():
                best = self.logits(memory, unseen, targets)[:, -1].argmax(-1)
                targets = torch.cat([targets, best[:, None]], 1)
        return targets[:, 1:].tolist()


def translations(runner, tokenizer, sources, beams):
    order = np.argsort([len(s) for s in sources], kind="stable")
    found = [""] * len(sources)
    for at in range(0, len(order), 50):
        rows = order[at : at + 50]
        ids = padded([sources[i] for i in rows])
        for i, row in zip(rows, runner.translate(ids, (ids != PAD).astype(np.int64), beams)):
            found[i] = tokenizer.decode(row[: row.index(END)] if END in row else row).strip()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the .en.gz and .de.gz files are")
    parser.add_argument("--minutes", type=float, default=10.0, help="when training ends")
    parser.add_argument("--steps", type=int, default=10**9, help="when training ends, in steps")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64, help="pairs a step")
    parser.add_argument("--rate", type=float, default=1.0, help="times the schedule of the paper")
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--peer", choices=["torch"], help="the same in another library")
    args = parser.parse_args()
    dlcore.manual_seed(0)
    english, german = read(args.folder, "train")
    tokenizer = byte_pairs([*english, *german], args.vocabulary)
    sources, targets = encode(tokenizer, english), encode(tokenizer, german)
    config = TransformerConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=args.width,
        num_heads=args.heads,
        num_encoder_layers=args.layers,
        num_decoder_layers=args.layers,
        d_ff=2 * args.width,
        dropout=args.dropout,
        final_norm=True,  # as torch's has
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_id=END,
    )
    model = Transformer(config)
    runner = Torch(model, args) if args.peer else Dlcore(model, args)
    if args.threads and args.peer:
        runner.torch.set_num_threads(args.threads)
    elif args.threads:
        dlcore.set_num_threads(args.threads)
    print(f"{model.num_parameters():,} parameters, {len(sources):,} pairs", flush=True)

    val_english, val_german = read(args.folder, "val")
    val = list(
        batches(encode(tokenizer, val_english), encode(tokenizer, val_german), 100, np.random.default_rng(0))
    )
    rng, steps, epoch = np.random.default_rng(0), 0, 0
    start, cpu = time.perf_counter(), time.process_time()
    going = True
    while going:
        epoch, losses = epoch + 1, []
        for batch in batches(sources, targets, args.batch, rng):
            losses.append(runner.step(*batch))
            steps += 1
            if steps % 100 == 0:
                print(
                    f"step {steps}, loss {np.mean(losses[-100:]):.3f}, {time.perf_counter() - start:.0f} s, "
                    f"{time.process_time() - cpu:.0f} s of processor time",
                    flush=True,
                )
            going = steps < args.steps and time.perf_counter() - start < 60 * args.minutes
            if not going:
                break
        tokens = [(b[2] >= 0).sum() for b in val]
        loss = np.average([runner.evaluate(*b) for b in val], weights=tokens)
        print(
            f"epoch {epoch}, step {steps}: loss {np.mean(losses):.3f}, validation {loss:.3f} a token",
            flush=True,
        )

    test_english, test_german = read(args.folder, "test_2016_flickr")
    for beams in sorted({1, 1 if args.peer else args.beams}):
        begin = time.perf_counter()
        found = translations(runner, tokenizer, encode(tokenizer, test_english), beams)
        bleu = sacrebleu.corpus_bleu(found, [test_german])
        print(
            f"test 2016, {beams} beam{'s' * (beams > 1)}: BLEU {bleu.score:.1f} "
            f"({time.perf_counter() - begin:.0f} s)"
        )
    for en, de, ours in list(zip(test_english, test_german, found))[:3]:
        print(f"\n  {en}\n  {de}\n  {ours}")


if __name__ == "__main__":
    main()
