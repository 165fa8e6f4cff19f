"""Writes a checkpoint as safetensors: from pytorch_model.bin, .pth or .pt (no code in it runs), from shards,
from safetensors in another dtype.

A source that is a folder gives a folder with its other files (configuration, tokenizer) beside the weights; a
target that ends in .safetensors is one file.

examples:
  dlcore convert pytorch_model.bin model.safetensors
  dlcore convert ./bert-base-uncased ./converted --max-shard-size 2GB
  dlcore convert ./llama ./llama-half --dtype bfloat16 --json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".index.json", ".h5", ".msgpack", ".onnx", ".ot")
_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a file of weights, an index of shards, or a folder")
    parser.add_argument("target", metavar="TARGET", help="a folder, or a file that ends in .safetensors")
    parser.add_argument("--dtype", choices=sorted(_SIZES), help="of floating entries (default: as they are)")
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="of each file in a folder (default: 5GB)"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _entry(checkpoint: Any, name: str, dtype: str | None) -> Any:
    """The array in the dtype that is wanted; halves are read as float32, which holds them exactly."""
    import numpy as np

    array: Any = checkpoint[name].numpy()
    kind = checkpoint.dtype(name)
    wanted = kind if dtype is None or kind not in _SIZES else dtype
    if wanted == array.dtype.name:
        return array
    if wanted == "bfloat16":
        try:
            import ml_dtypes
        except ImportError as e:
            raise ImportError("bfloat16 needs the ml_dtypes package (pip install ml_dtypes)") from e
        return array.astype(ml_dtypes.bfloat16)
    if wanted == "float16":
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if not np.array_equal(np.isfinite(half), np.isfinite(array)):
            raise ValueError(f"{name} has values beyond float16's largest, 65504; use bfloat16")
        return half
    return array.astype(wanted)


def _plan(checkpoint: Any, dtype: str | None, limit: int | None) -> list[list[str]]:
    """The names of each file."""
    import math

    shards: list[list[str]] = [[]]
    size = 0
    for name in checkpoint:
        kind = checkpoint.dtype(name)
        width = _SIZES.get(dtype if dtype is not None and kind in _SIZES else kind, 8)
        n = math.prod(checkpoint.shape(name)) * width
        if limit is not None and shards[-1] and size + n > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += n
    return shards


def run(arguments: argparse.Namespace) -> int:
    from dlcore.hub import write_text
    from dlcore.io import open_checkpoint, save_file
    from dlcore.models.base import SAFETENSORS, _bytes, _open_weights

    source, target = Path(arguments.source).expanduser(), Path(arguments.target).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such file or folder: {source}")
    single = target.suffix == ".safetensors"
    limit = None if single else _bytes(arguments.max_shard_size)
    folder = target.parent if single else target
    if target.resolve() in (source.resolve(), source.resolve().parent):
        raise ValueError(f"the target must be another place than the source: {target}")
    if not arguments.force and (target.exists() if single else any(target.glob("*.safetensors*"))):
        raise FileExistsError(f"{target} is there already; --force replaces it")
    began = time.perf_counter()
    checkpoint = _open_weights(source, None, {}) if source.is_dir() else open_checkpoint(source)
    shards = _plan(checkpoint, arguments.dtype, limit)
    folder.mkdir(parents=True, exist_ok=True)
    if not single:
        for old in target.glob("*.safetensors*"):
            old.unlink()
    done = total = 0
    weight_map: dict[str, str] = {}
    show = sys.stderr.isatty() and not arguments.json
    for i, names in enumerate(shards, 1):
        file = target.name if single else SAFETENSORS
        if len(shards) > 1:
            file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        state = {}
        for name in names:
            state[name] = _entry(checkpoint, name, arguments.dtype)
            total += state[name].nbytes
            done += 1
            if show:
                print(f"\r{done}/{len(checkpoint)} {name[:60]:60}", end="", file=sys.stderr, flush=True)
        save_file(state, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(names, file))
    if show:
        print(file=sys.stderr)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_text(folder / f"{SAFETENSORS}.index.json", json.dumps(index, indent=2) + "\n")
    if source.is_dir() and not single:
        for other in sorted(source.iterdir()):
            if other.is_file() and not other.name.endswith(_WEIGHTS):
                shutil.copyfile(other, folder / other.name)
    result = {
        "source": str(source),
        "target": str(target),
        "files": sorted(set(weight_map.values())),
        "tensors": len(checkpoint),
        "bytes": total,
        "seconds": time.perf_counter() - began,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{len(checkpoint)} tensors, {total:,} bytes, {len(shards)} file(s): {target}")
    return 0
