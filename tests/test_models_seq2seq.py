"""Seq2Seq beside the same formulas in PyTorch, with the same weights."""

import numpy as np
import pytest

import dlcore
from dlcore.models import Seq2Seq, Seq2SeqConfig
from tests import model_oracle as oracle
from tests.model_oracle import one_thread  # noqa: F401  # for all tests here

VOCAB = 11
KINDS = [(rnn, attention) for rnn in ("gru", "lstm") for attention in ("additive", "multiplicative")]


def build(rnn, attention, seed=0, **options):
    sizes = {"vocab_size": VOCAB, "source_vocab_size": 13, "embed_dim": 5, "hidden_size": 6, "dropout": 0.0}
    dlcore.manual_seed(seed)
    config = Seq2SeqConfig(rnn_type=rnn, attention=attention, **{**sizes, **options})
    return Seq2Seq(config).double().eval()


def batch(b=3, s=7, t=5, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, s + 1, b)
    mask = (np.arange(s) < lengths[:, None]).astype(np.int64)
    labels = np.where(np.arange(t) < rng.integers(1, t + 1, b)[:, None], rng.integers(3, VOCAB, (b, t)), -100)
    return rng.integers(3, 13, (b, s)), mask, labels


class Peer:
    """The formulas with PyTorch's layers."""

    def __init__(self, ours):
        import torch

        self.torch, self.c = torch, ours.config
        self.w = {
            n: torch.from_numpy(p.detach().numpy().copy()).requires_grad_()
            for n, p in ours.named_parameters()
        }
        c = self.c
        self.width = c.hidden_size * (2 if c.bidirectional else 1)
        kind = "LSTM" if c.rnn_type == "lstm" else "GRU"
        self.layer, self.cell = getattr(torch.nn, kind), getattr(torch.nn, f"{kind}Cell")

    def module(self, module, prefix):
        """A module of the weights under this name, through which gradients flow to them."""
        named = {n: self.w[f"{prefix}.{n}"] for n, _ in module.named_parameters()}
        return lambda *args: self.torch.func.functional_call(module, named, args)

    def linear(self, name, x):
        y = x @ self.w[f"{name}.weight"].T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def encode(self, ids, mask):
        """One sample after the other, without its padding."""
        torch, c = self.torch, self.c
        rnn = self.module(
            self.layer(
                c.embed_dim, c.hidden_size, c.num_layers, batch_first=True, bidirectional=c.bidirectional
            ),
            "encoder.rnn",
        )  # fmt: skip
        states, ends = [], []
        for row, n in zip(ids, mask.sum(1)):
            y, last = rnn(self.w["encoder.embed_tokens.weight"][torch.from_numpy(row[None, :n])])
            states.append(torch.nn.functional.pad(y[0], (0, 0, 0, len(row) - n)))
            last = last if isinstance(last, tuple) else (last,)
            ends.append([e.reshape(c.num_layers, -1) for e in last])
        first = []
        for k in range(len(ends[0])):
            end = self.linear(f"encoder.bridge.{k}", torch.stack([e[k] for e in ends], 1))
            first.append(torch.tanh(end) if k == 0 else end)
        return torch.stack(states), first

    def logits(self, ids, mask, targets):
        torch, c = self.torch, self.c
        memory, state = self.encode(ids, mask)
        unseen = torch.from_numpy(mask == 0)
        y = self.w["decoder.embed_tokens.weight"][torch.from_numpy(targets)]
        if c.attention == "multiplicative":
            rnn = self.module(
                self.layer(c.embed_dim, c.hidden_size, c.num_layers, batch_first=True), "decoder.rnn"
            )
            h, _ = rnn(y, tuple(state) if len(state) > 1 else state[0])
            scores = self.linear("decoder.score", h) @ memory.mT
            context = torch.softmax(scores.masked_fill(unseen[:, None], -torch.inf), -1) @ memory
            read = torch.cat([context, h], -1)
        else:
            cells = [
                self.module(
                    self.cell(c.hidden_size if i else c.embed_dim + self.width, c.hidden_size),
                    f"decoder.cells.{i}",
                )
                for i in range(c.num_layers)
            ]
            keys, rows = self.linear("decoder.key", memory), []
            for t in range(y.shape[1]):
                query = self.linear("decoder.query", state[0][-1])[:, None]
                scores = self.linear("decoder.score", torch.tanh(keys + query))[..., 0]
                weights = torch.softmax(scores.masked_fill(unseen, -torch.inf), -1)
                context = (weights[..., None] * memory).sum(1)
                x, after = torch.cat([y[:, t], context], -1), []
                for i, cell in enumerate(cells):
                    part = tuple(s[i] for s in state)
                    out = cell(x, part if len(part) > 1 else part[0])
                    after.append(out if isinstance(out, tuple) else (out,))
                    x = after[-1][0]
                state = [torch.stack([a[k] for a in after]) for k in range(len(state))]
                rows.append(torch.cat([x, y[:, t], context], -1))
            read = torch.stack(rows, 1)
        return self.linear("lm_head", torch.tanh(self.linear("decoder.readout", read)))


@pytest.mark.parametrize(("rnn", "attention"), KINDS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": False, "label_smoothing": 0.1}])
def test_logits_loss_and_gradients_are_those_of_the_formulas(rnn, attention, options):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    torch.set_default_dtype(torch.float64)
    try:
        ours = build(rnn, attention, **options).train()
        peer = Peer(ours)
        source, mask, labels = batch()
        targets = np.concatenate([np.full((3, 1), 1), labels[:, :-1]], 1)
        targets[targets == -100] = 0
        expected = peer.logits(source, mask, targets)
        loss = torch.nn.functional.cross_entropy(
            expected.flatten(0, 1),
            torch.from_numpy(labels).flatten(),
            label_smoothing=ours.config.label_smoothing,
        )
        loss.backward()
    finally:
        torch.set_default_dtype(torch.float32)
    out = ours(oracle.tensor(source), oracle.tensor(mask), labels=oracle.tensor(labels))
    oracle.close(out.logits, expected, 1e-10)
    oracle.close(out.loss, loss, 1e-10)
    out.loss.backward()
    for name, p in ours.named_parameters():
        oracle.close(p.grad, peer.w[name].grad, 1e-10)


@pytest.mark.parametrize(("rnn", "attention"), KINDS)
def test_greedy_follows_the_largest_logit_and_wide_beams_find_the_best(rnn, attention):
    model = build(rnn, attention, seed=4, num_layers=2, vocab_size=4)
    with dlcore.no_grad():
        model.lm_head.weight.mul_(4.0)
    source, mask, _ = batch(b=2, s=4)
    ids, mask = oracle.tensor(source), oracle.tensor(mask)
    found = model.translate(ids, mask, max_length=6).numpy()
    start = np.ones((2, 1), np.int64)
    logits = model(ids, mask, oracle.tensor(np.concatenate([start, found[:, :-1]], 1))).logits
    for row, best in zip(found.tolist(), logits.argmax(-1).tolist()):
        n = row.index(2) + 1 if 2 in row else len(row)
        assert row[:n] == best[:n] and not any(row[n:])
    wide = model.translate(ids, mask, max_length=3, num_beams=20, alpha=0.0).tolist()
    every = [[2], *([a, 2] for a in (0, 1, 3)), *([a, b, 2] for a in (0, 1, 3) for b in (0, 1, 3))]
    for row, best in enumerate(wide):
        scores = []
        for words in every:
            inputs = oracle.tensor(np.array([[1, *words[:-1]]]))
            logits = model(ids[row : row + 1], mask[row : row + 1], inputs).logits
            p = dlcore.nn.functional.log_softmax(logits, -1).detach().numpy()[0]
            scores.append(p[np.arange(len(words)), words].sum())
        expected = every[int(np.argmax(scores))]
        assert best[: len(expected)] == expected and not any(best[len(expected) :])


def test_checkpoints_and_errors(tmp_path):
    model = build("lstm", "additive")
    model.save_pretrained(tmp_path)
    again, report = Seq2Seq.from_pretrained(tmp_path, dtype="float64", output_loading_info=True)
    assert report["missing_keys"] == report["unexpected_keys"] == []
    source, mask, labels = map(oracle.tensor, batch())
    oracle.close(again(source, mask, labels=labels).logits, model(source, mask, labels=labels).logits, 0)
    logits = model(source, mask, labels=labels, return_dict=False)[1]
    assert logits.shape == (3, 5, VOCAB)
    with pytest.raises(ValueError, match="rnn_type must be 'gru' or 'lstm', got 'rnn'"):
        Seq2SeqConfig(rnn_type="rnn")
    with pytest.raises(ValueError, match="ones and then zeros"):
        model(source, mask.flip(1), labels=labels)
    with pytest.raises(ValueError, match="decoder_input_ids or labels"):
        model(source)
