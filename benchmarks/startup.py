"""From the start of a process to GPT-2's first token, and the memory of whole jobs, beside PyTorch.

    python benchmarks/startup.py [--rounds 5] [--only start,memory] [--threads 1] [--json FILE]

GPT-2 124M, random weights that Transformers has saved as safetensors. A sample is a process of its own that
imports, loads, makes one token after 8 and says so; peers in turn, medians of the wall clock and of the time
on processors. Memory is VmHWM, the most that a process ever held: of that process, of decoding, and of cases
of models.py run twice. Ratio of times = Transformers' over dlcore's; of memory = dlcore's over PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PEERS = ("dlcore", "torch")
# name in models.CASES -> title
MEMORY = {
    "resnet50 8": "ResNet-50, inference, batch 8",
    "resnet50 8 training step": "ResNet-50, training step, batch 8",
    "BERT-base 128 tokens, batch 8": "BERT-base, inference, batch 8 x 128",
    "GPT-2 4 x 64 tokens, training step": "GPT-2, training step, batch 4 x 64",
    "BiLSTM tagger 32 x 50, training step": "BiLSTM tagger, training step, 32 x 50",
    "gpt2": "GPT-2, 64 tokens after 64, greedy",
    "t5": "T5-small, 64 tokens after 64, batch 4, greedy",
}
START = "GPT-2 124M: process start to the first token"


def first_token(peer: str, folder: str) -> None:
    import numpy as np

    ids = np.arange(8)[None]
    if peer == "dlcore":
        import dlcore
        from dlcore.models import GPT2LMHeadModel

        model: Any = GPT2LMHeadModel.from_pretrained(folder)
        model.generate(dlcore.tensor(ids), max_new_tokens=1)
    else:
        from generation import import_transformers

        transformers = import_transformers()
        import torch

        tokens = torch.tensor(ids)
        model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
        model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=1)


def whole_job(peer: str, job: str, folder: str) -> None:
    if job in ("gpt2", "t5"):
        import generation

        kind: Any = generation.Dlcore if peer == "dlcore" else generation.Transformers
        kind(Path(folder)).prepare(job)()
        return
    import layers
    import models

    run = models.CASES[job].make(getattr(layers.Library, peer)())
    run()
    run()


def work(peer: str, job: str, folder: str) -> None:
    if job == "start":
        first_token(peer, folder)
    else:
        whole_job(peer, job, folder)
    from peers import peak_memory

    print(json.dumps({"at": time.time(), "cpu": time.process_time(), "bytes": peak_memory()}), flush=True)


def sample(peer: str, job: str, folder: Path, threads: int) -> dict[str, float]:
    """Seconds from before the process starts to its answer, its time on processors, and its most memory."""
    from compare import environment

    env = environment(threads) | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    began = time.time()
    done = subprocess.run(
        [sys.executable, __file__, "--work", peer, job, str(folder)], capture_output=True, text=True, env=env
    )
    if done.returncode:
        raise RuntimeError(f"{peer}, {job}: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return {"wall": answer["at"] - began, "cpu": answer["cpu"], "bytes": answer["bytes"]}


def make_models(folder: Path) -> None:
    """GPT-2 as Transformers saves it, T5-small as dlcore does."""
    code = (
        "import sys; from generation import import_transformers; t = import_transformers(); "
        "t.GPT2LMHeadModel(t.GPT2Config(eos_token_id=None, bos_token_id=None, pad_token_id=0))"
        ".save_pretrained(sys.argv[1])"
    )
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", code, str(folder / "gpt2")],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    from dlcore import models

    config: Any = models.T5Config(eos_token_id=None, decoder_start_token_id=0, pad_token_id=0)
    models.T5ForConditionalGeneration(config).save_pretrained(folder / "t5")


def measure(only: list[str], rounds: int, threads: int) -> dict[str, Any]:
    result: dict[str, Any] = {"start": {}, "memory": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_models(folder)
        if "start" in only:
            taken: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
            for i in range(rounds + 1):  # the first round fills the file cache
                for peer in PEERS:
                    one = sample(peer, "start", folder / "gpt2", threads)
                    if i:
                        taken[peer].append(one)
            for peer, all_of_them in taken.items():
                kinds = ("wall", "cpu", "bytes")
                result["start"][peer] = {k: statistics.median(s[k] for s in all_of_them) for k in kinds}
            print(start_text(result["start"]), flush=True)
        for job, title in MEMORY.items() if "memory" in only else ():
            held = {peer: sample(peer, job, folder, threads)["bytes"] for peer in PEERS}
            result["memory"][job] = held
            sizes = ", ".join(f"{peer} {b / 2**20:.0f} MiB" for peer, b in held.items())
            print(f"{title:48} | {sizes} ({held['dlcore'] / held['torch']:.2f})", flush=True)
    return result


def start_text(start: dict[str, Any]) -> str:
    ours, theirs = start["dlcore"], start["torch"]
    return (
        f"{START} | wall {ours['wall']:.2f} s, Transformers {theirs['wall']:.2f} s "
        f"({theirs['wall'] / ours['wall']:.1f}x) | processors {ours['cpu']:.2f} s, {theirs['cpu']:.2f} s "
        f"({theirs['cpu'] / ours['cpu']:.1f}x) | memory {ours['bytes'] / 2**20:.0f} MiB, "
        f"{theirs['bytes'] / 2**20:.0f} MiB ({ours['bytes'] / theirs['bytes']:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="start,memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work)
        return
    result = measure(arguments.only.split(","), arguments.rounds, arguments.threads)
    if arguments.json:
        from compare import environment_of

        found = {"environment": environment_of(("dlcore", "torch", "transformers")), **result}
        Path(arguments.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
