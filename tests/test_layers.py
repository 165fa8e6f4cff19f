"""The import rule: models, keras, train -> nn, optim -> functional -> autograd, tensor -> _C.

In C++: ops -> dispatch -> kernels.h <- cpu, cuda.
"""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "dlcore"

# A room may import rooms of a lower rank, and its own.
RANK = {
    "_C": 0, "tensor": 1, "random": 1, "autograd": 2, "config": 1, "cuda": 1, "io": 2, "geometry": 1,
    "creation": 2,
    "functional": 3, "kernels": 3.5,  # pooling on ndarrays is the functional form, off the tape
    "hub": 3, "outputs": 3,
    "nn": 4, "optim": 4, "datasets": 4, "data": 4, "vision": 4, "tokenization": 4,
    "train": 5, "debug": 5, "generation": 5, "quantization": 5,
    "keras": 6, "models": 6, "bench": 6, "pipelines": 7,
    "cli": 8, "__main__": 9, "__init__": 10,
}  # fmt: skip


def imported(path):
    """dlcore modules that the file imports when it is imported or called, but for TYPE_CHECKING blocks."""
    tree = ast.parse(path.read_text())
    guarded = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            guarded |= {id(n) for child in node.body for n in ast.walk(child)}
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide the room"
            names = [
                f"{node.module}.{a.name}" if node.module == "dlcore" else node.module for a in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            if name == "dlcore" or name.startswith("dlcore."):
                yield node, name


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="the source tree is not at hand")
def test_python_imports_downwards_only():
    bad = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        mine = parts[0]
        assert mine in RANK, f"a new room: give {mine} a rank"
        for node, name in imported(path):
            theirs = room(name)
            lazily = (
                isinstance(node, ast.ImportFrom) and mine == "tensor" and theirs == "autograd"
            )  # Tensor.backward
            if theirs not in RANK or theirs == "__version__" or lazily or mine == theirs:
                continue
            if RANK[theirs] >= RANK[mine]:
                bad.append(f"{path.relative_to(ROOT)}:{node.lineno} {mine} imports {name}")
    assert bad == []


@pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the source tree is not at hand")
def test_kernels_see_neither_arrays_nor_python():
    forbidden = re.compile(
        r'#include [<"](array\.h|check\.h|dispatch\.h|memory\.h|casters\.h|ops/|pybind11|vector>|string>'
        r"|algorithm>|memory>|functional>|cmath>|math\.h>)"
    )
    for folder, other in (("cpu", "cuda/"), ("cuda", "cpu/")):
        for path in (ROOT / "csrc" / folder).glob("*"):
            text = path.read_text()
            found = forbidden.search(text)
            assert not found or (folder == "cuda" and "math" in found.group()), f"{path}: {found.group()}"
            assert f'#include "{other}' not in text, path


def test_import_brings_nothing_but_numpy():
    code = (
        "import sys, numpy; before = set(sys.modules); import dlcore;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(new - {'dlcore', 'numpy'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [m for m in ast.literal_eval(out.stdout) if not m.startswith(("_", "pybind11"))] == []
