"""The public names that dlcore promises, room by room, and the table of what it deliberately lacks."""

import importlib
import pathlib
import re

import numpy as np
import pytest

import dlcore
from dlcore import keras, nn, optim
from dlcore.nn import functional as F

TESTS = pathlib.Path(__file__).parent


def contract():
    """{room: names} of data/contract.txt."""
    text = (TESTS / "data" / "contract.txt").read_text()
    rooms = re.findall(r"\[(.+?)\]\n(.*?)(?=\n\[|\Z)", text, re.S)
    return {room: names.split() for room, names in rooms}


def room_of(path):
    """`dlcore.nn.utils` as imported, `dlcore.Tensor` as an attribute."""
    try:
        return importlib.import_module(f"dlcore.{path}")
    except ModuleNotFoundError:
        return getattr(dlcore, path)


@pytest.mark.parametrize(("path", "names"), contract().items(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_promised_name_is_there(path, names):
    room = room_of(path)
    assert [n for n in names if not hasattr(room, n)] == []


def test_every_kernel_that_differentiates_has_its_backward():
    names = [f"{n}_backward" for n in contract()["kernels"] if n not in ("matmul", "linear")]
    assert [n for n in names if not hasattr(dlcore.kernels, n)] == []


# Names of torch's whose results are not compared with it, with the reason.
NOT_COMPARED = {
    "CrossMapLRN2d": "torch's drops a term; the formula is tested in test_kernels.py",
    "RNNCellBase": "abstract",
    "dropout2d": "random: its statistics are tested in test_dropout.py",
}


def test_every_module_and_functional_of_torch_is_compared_with_torch():
    """A name that both libraries have stands in a test beside torch, spelled out or as f"{kind}Pad{n}d"."""
    torch = pytest.importorskip("torch")
    texts = "".join(p.read_text() for p in TESTS.glob("test_*.py") if "torch" in p.read_text())
    words = set(re.findall(r"\w+", texts))
    field = re.compile(r"\{[^{}\"]*\}")
    made = [m for m in re.findall(r'f"((?:\w|\{[^{}"]*\})+)"', texts) if len(field.sub("", m)) >= 3]
    patterns = [re.compile(field.sub(r"\\w*", m)) for m in set(made)]
    modules = [n for n in vars(nn) if isinstance(getattr(nn, n), type) and hasattr(torch.nn, n)]
    functions = [n for n in contract()["nn.functional"] if hasattr(torch.nn.functional, n)]
    assert len(modules) > 100
    missing = [n for n in modules + functions if n not in words and n not in NOT_COMPARED]
    assert [n for n in missing if not any(p.fullmatch(n) for p in patterns)] == []


def unsupported():
    path = TESTS.parent / "docs" / "unsupported.md"
    if not path.exists():
        return []
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \| (.+?) \|", path.read_text(), re.M)
    return [pytest.param(*row, id=row[0][:60]) for row in rows]


@pytest.mark.parametrize(("code", "error", "words"), unsupported())
def test_what_is_unsupported_says_so(code, error, words):
    """The first column runs and raises the second, with the words of the third in its message."""
    space = {"dlcore": dlcore, "nn": nn, "F": F, "optim": optim, "keras": keras, "np": np}
    space["x"] = dlcore.ones(2, 3, requires_grad=True)
    with pytest.raises(Exception, match=re.escape(words.strip("` "))) as caught:
        exec(code, space)
    assert caught.type.__name__ == error
