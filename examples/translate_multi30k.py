"""The Transformer of 2017 learns to translate English into German, on 29,000 captions of Multi30k: BLEU 34.9.

python examples/translate_multi30k.py FOLDER [--epochs N] [--peer torch]: FOLDER holds train, val and
test_2016_flickr as .en.gz and .de.gz (https://github.com/multi30k/dataset). Words become byte pairs by the
tokenizers package, BLEU is sacrebleu's. As in the paper, the rate warms up, labels are smoothed, one table
serves source, target and output, the weights that translate are a mean over the last part of training, and
beams are ranked with a length penalty. With --peer torch the same model, from the same initial weights, on
the same batches and at the same rates, is trained as PyTorch's nn.Transformer; the weights it ends with then
translate here.
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

    def weights(self):
        """By name, as they are now."""
        return {name: p.detach().numpy() for name, p in self.model.named_parameters()}


class Torch:
    """The same model, data and steps in PyTorch."""

    def __init__(self, model, args):
        import torch

        torch.set_num_threads(dlcore.get_num_threads())
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

    def weights(self):
        """By name, as they are now."""
        named = {name: p.detach().numpy() for name, p in self.net.named_parameters()}
        return named | {"decoder.embed_tokens.weight": self.table.detach().numpy()}


def translations(model, tokenizer, sources, beams, alpha):
    order = np.argsort([len(s) for s in sources], kind="stable")
    found = [""] * len(sources)
    for at in range(0, len(order), 50):
        rows = order[at : at + 50]
        ids = padded([sources[i] for i in rows])
        mask = (ids != PAD).astype(np.int64)
        out = model.translate(dlcore.tensor(ids), dlcore.tensor(mask), num_beams=beams, alpha=alpha)
        for i, row in zip(rows, out.tolist()):
            found[i] = tokenizer.decode(row[: row.index(END)] if END in row else row).strip()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the .en.gz and .de.gz files are")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pairs", type=int, help="of the training part, for a shorter try")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64, help="pairs a step")
    parser.add_argument("--rate", type=float, default=1.0, help="times the schedule of the paper")
    parser.add_argument("--warmup", type=int, default=800)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--mean", type=float, default=0.15, help="the part of training that is averaged")
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--alpha", type=float, default=0.6, help="of the length penalty")
    parser.add_argument("--peer", choices=["torch"], help="the same training in another library")
    parser.add_argument("--save", help="a folder for the trained model")
    args = parser.parse_args()
    dlcore.manual_seed(0)
    english, german = (lines[: args.pairs] for lines in read(args.folder, "train"))
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
    print(f"{model.num_parameters():,} parameters, {len(sources):,} pairs", flush=True)

    val = [encode(tokenizer, lines) for lines in read(args.folder, "val")]
    val = list(batches(*val, 100, np.random.default_rng(0)))
    rng, steps, means, taken = np.random.default_rng(0), 0, {}, 0
    begin_mean = (1 - args.mean) * args.epochs * -(-len(sources) // args.batch)
    start, cpu = time.perf_counter(), time.process_time()
    for epoch in range(1, args.epochs + 1):
        losses = []
        for batch in batches(sources, targets, args.batch, rng):
            losses.append(runner.step(*batch))
            steps += 1
            if steps >= begin_mean and steps % 20 == 0:
                taken += 1
                for name, w in runner.weights().items():
                    means[name] = means.get(name, 0.0) + (w - means.get(name, 0.0)) / taken
        tokens = [(b[2] >= 0).sum() for b in val]
        loss = np.average([runner.evaluate(*b) for b in val], weights=tokens)
        print(
            f"epoch {epoch}, step {steps}: loss {np.mean(losses):.3f}, validation {loss:.3f} a token, "
            f"{time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of processor time",
            flush=True,
        )

    model.load_state_dict(means or runner.weights(), strict=False)
    model.eval()
    if args.save:
        model.save_pretrained(args.save)
    runner = Dlcore(model, args)
    loss = np.average([runner.evaluate(*b) for b in val], weights=tokens)
    print(f"the mean of {taken} weights: validation {loss:.3f} a token", flush=True)
    for split, beams in (("val", 1), ("val", args.beams), ("test_2016_flickr", args.beams)):
        english, german = read(args.folder, split)
        begin = time.process_time()
        found = translations(model, tokenizer, encode(tokenizer, english), beams, args.alpha)
        bleu = sacrebleu.corpus_bleu(found, [german])
        print(
            f"{split}, {beams} beam{'s' * (beams > 1)}: BLEU {bleu.score:.1f} "
            f"({time.process_time() - begin:.0f} s of processor time)",
            flush=True,
        )
    for en, de, ours in list(zip(english, german, found))[:3]:
        print(f"\n  {en}\n  {de}\n  {ours}")
    print(f"{time.process_time() - cpu:.0f} s of processor time in all")


if __name__ == "__main__":
    main()
