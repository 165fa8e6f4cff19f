"""Decoding beside Transformers and CTranslate2: tokens after a prompt, on one thread.

    python benchmarks/generation.py [--rounds 5] [--only gpt2,t5] [--json FILE]

Random weights of real sizes: every library does the work of the real model. Each runs in a process of its own
that lives for the whole comparison; samples are taken in turn and counted in CPU time, so that what else runs
on the machine falls out. Medians; ratio = the peer's time over dlcore's. Peers that are not installed are
skipped.
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

import numpy as np

# job -> (title, family, prompt length, batch, options of generate). NARROW: weights in fewer bits.
JOBS: dict[str, tuple[str, str, int, int, dict[str, Any]]] = {
    "gpt2": ("GPT-2 124M, 64 tokens after 64, greedy", "gpt2", 64, 1, {}),
    "gpt2_sample": ("the same, top-k 50, top-p 0.9", "gpt2", 64, 1, {"do_sample": True, "top_p": 0.9}),
    "gpt2_beams": ("the same, 4 beams", "gpt2", 64, 1, {"num_beams": 4}),
    "gpt2_bfloat16": ("the same, greedy, weights in bfloat16", "gpt2", 64, 1, {}),
    "gpt2_int8": ("the same, greedy, weights in int8", "gpt2", 64, 1, {}),
    "t5": ("T5-small, 64 tokens after 64, batch 4, greedy", "t5", 64, 4, {}),
    "t5_beams": ("the same, 4 beams", "t5", 64, 4, {"num_beams": 4}),
}
NARROW = {"gpt2_bfloat16": "bfloat16", "gpt2_int8": "int8"}
PEERS = ("dlcore", "transformers", "ctranslate2")
NEW = 64


def make_models(folder: Path) -> None:
    """GPT-2 and T5-small with random weights, as dlcore and Transformers read them."""
    import dlcore
    from dlcore import models

    dlcore.manual_seed(0)
    gpt2: Any = models.GPT2Config(eos_token_id=None, bos_token_id=None, pad_token_id=0)
    models.GPT2LMHeadModel(gpt2).save_pretrained(folder / "gpt2")
    t5: Any = models.T5Config(eos_token_id=None, decoder_start_token_id=0, pad_token_id=0)
    models.T5ForConditionalGeneration(t5).save_pretrained(folder / "t5")


def import_transformers() -> Any:
    """PyPI's torchvision is built for CUDA: beside a CPU build of torch its operators have to be declared for
    Transformers to load its models, which do not call them.
    """
    import importlib.util

    import torch

    if importlib.util.find_spec("torchvision") is not None and not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


_declared: list[Any] = []  # a library lives as long as its declarations


class Dlcore:
    def __init__(self, folder: Path) -> None:
        import dlcore

        dlcore.set_num_threads(1)
        self.folder, self.dlcore = folder, dlcore
        self.models: dict[str, Any] = {}

    def prepare(self, job: str) -> Any:
        from dlcore import models

        _, family, length, batch, options = JOBS[job]
        kind: Any = models.AutoModelForCausalLM if family == "gpt2" else models.AutoModelForSeq2SeqLM
        if family not in self.models:
            self.models[family] = kind.from_pretrained(self.folder / family)
        ids = self.dlcore.from_numpy(prompt(length, batch))
        model = self.models[family]
        if job in NARROW:
            model = self.dlcore.quantization.quantize_dynamic(model, dtype=NARROW[job])
        return lambda: model.generate(ids, max_new_tokens=NEW, **options).shape


class Transformers:
    def __init__(self, folder: Path) -> None:
        import torch

        torch.set_num_threads(1)
        self.folder, self.torch, self.transformers = folder, torch, import_transformers()
        self.models: dict[tuple[str, str], Any] = {}

    def prepare(self, job: str) -> Any:
        _, family, length, batch, options = JOBS[job]
        if NARROW.get(job) == "int8":
            return None  # it has no int8 of its own
        t = self.transformers
        kind = t.AutoModelForCausalLM if family == "gpt2" else t.AutoModelForSeq2SeqLM
        dtype = NARROW.get(job, "float32")
        if (family, dtype) not in self.models:
            self.models[family, dtype] = kind.from_pretrained(self.folder / family, dtype=dtype).eval()
        ids = self.torch.from_numpy(prompt(length, batch))
        mask = self.torch.ones_like(ids)
        model = self.models[family, dtype]
        return lambda: model.generate(ids, attention_mask=mask, max_new_tokens=NEW, **options).shape


class CTranslate2:
    """Converted from the same checkpoint; tokens are words named by their ids."""

    def __init__(self, folder: Path) -> None:
        import ctranslate2

        self.folder, self.ct2 = folder, ctranslate2

    def prepare(self, job: str) -> Any:
        _, family, length, batch, options = JOBS[job]
        if family != "gpt2":
            return None  # its converter wants T5's own tokenizer
        path = self.folder / "ct2"
        if not path.exists():
            self._convert(path)
        generator = self.ct2.Generator(
            str(path),
            device="cpu",
            compute_type=NARROW.get(job, "default"),
            inter_threads=1,
            intra_threads=1,
        )
        words = [[f"t{i}" for i in row] for row in prompt(length, batch).tolist()]
        settings: dict[str, Any] = {"beam_size": options.get("num_beams", 1)}
        if options.get("do_sample"):
            settings |= {"sampling_topk": 50, "sampling_topp": options["top_p"]}
        return lambda: len(
            generator.generate_batch(
                words,
                max_length=length + NEW,
                min_length=length + NEW,
                include_prompt_in_result=True,
                **settings,
            )
        )

    def _convert(self, path: Path) -> None:
        transformers = import_transformers()
        from ctranslate2.converters import transformers as converters

        model = transformers.GPT2LMHeadModel.from_pretrained(self.folder / "gpt2")
        model.config.bos_token_id = model.config.eos_token_id = 0
        loader = converters.GPT2Loader()

        class Tokens:
            bos_token = eos_token = unk_token = "t0"

            def get_vocab(self) -> dict[str, int]:
                return {f"t{i}": i for i in range(model.config.vocab_size)}

        spec = loader(model, Tokens())
        spec.validate()
        spec.optimize(quantization=None)
        path.mkdir()
        spec.save(str(path))


def prompt(length: int, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(3, 30000, (batch, length))


def work(peer: str, folder: Path) -> None:
    """Reads a request a line and answers it: {"prepare": job}, or {"sample": job} in CPU seconds."""
    kinds: dict[str, Any] = {"dlcore": Dlcore, "transformers": Transformers, "ctranslate2": CTranslate2}
    try:
        library = kinds[peer](folder)
        missing = ""
    except ImportError as e:
        library, missing = None, str(e)
    jobs: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if "prepare" in request:
            job = request["prepare"]
            try:
                jobs[job] = None if library is None else library.prepare(job)
                if jobs[job] is not None:
                    jobs[job]()
                answer = {"ready": True} if jobs[job] is not None else {"missing": missing or "no such job"}
            except Exception as e:
                answer = {"missing": f"{type(e).__name__}: {e}"}
        else:
            began = time.process_time()
            jobs[request["sample"]]()
            answer = {"seconds": time.process_time() - began}
        print(json.dumps(answer), flush=True)


class Worker:
    def __init__(self, peer: str, folder: Path) -> None:
        env = dict(os.environ) | dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "DLCORE_NUM_THREADS"), "1"
        )
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "CT2_VERBOSE": "-3"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", peer, "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return {"missing": f"the process died (status {self.process.wait()})"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def compare(jobs: list[str], rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_models(folder)
        workers = {peer: Worker(peer, folder) for peer in PEERS}
        for job in jobs:
            ready = {peer: w.ask(prepare=job) for peer, w in workers.items()}
            seconds: dict[str, list[float]] = {p: [] for p, a in ready.items() if "ready" in a}
            for _ in range(rounds):
                for peer, taken in seconds.items():
                    taken.append(workers[peer].ask(sample=job)["seconds"])
            results[job] = {p: {"missing": a["missing"]} for p, a in ready.items() if "missing" in a}
            results[job] |= {p: {"median": statistics.median(s), "all": s} for p, s in seconds.items()}
            print(row(job, results[job]), flush=True)
        for w in workers.values():
            w.close()
    return results


def row(job: str, result: dict[str, Any]) -> str:
    ours = result["dlcore"].get("median")
    cells = [f"{JOBS[job][0]:48}"]
    for peer in PEERS:
        median = result[peer].get("median")
        if median is None:
            cells.append(f"{peer}: {str(result[peer]['missing'])[:60]}")
        else:
            ratio = "" if peer == "dlcore" or ours is None else f" ({median / ours:.2f}x)"
            cells.append(f"{peer} {1e3 * median / NEW:.2f} ms/token{ratio}")
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="parts of the jobs' names")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, Path(arguments.folder))
        return
    wanted = [w for w in arguments.only.split(",") if w]
    jobs = [job for job in JOBS if not wanted or any(w in job for w in wanted)]
    results = compare(jobs, arguments.rounds)
    if arguments.json:
        from compare import environment_of

        result = {"environment": environment_of(PEERS), "rounds": arguments.rounds, "jobs": results}
        Path(arguments.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
