"""Transformers and torchvision, for tests that compare models; both skip with a reason where absent.

`transformers` or `torchvision` is imported through here, never directly: PyPI's torchvision is built for
CUDA, and beside a CPU build of torch it does not load its own operators, whose names it then cannot find.
Two of them are declared in its place; the models do not call them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os

import numpy as np
import pytest

import dlcore

_declared = []


def _declare_operators():
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    if _declared or importlib.util.find_spec("torchvision") is None:
        return
    library = torch.library.Library("torchvision", "DEF")
    for op in ("nms", "qnms"):
        library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def transformers():
    _declare_operators()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    module = pytest.importorskip("transformers", reason="transformers is the oracle here")
    module.logging.set_verbosity_error()
    module.utils.logging.disable_progress_bar()
    return module


def torchvision():
    _declare_operators()
    return pytest.importorskip("torchvision", reason="torchvision is the oracle here")


def array(x):
    """An ndarray of a tensor of either library."""
    return np.asarray(x.detach().numpy())


def close(ours, theirs, tolerance=2e-5):
    """Equal within `tolerance` of the largest value."""
    a, b = array(ours), array(theirs)
    assert a.shape == b.shape
    scale = max(1.0, float(np.abs(b).max(initial=0.0)))
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def ids(*shape, high, low=0, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape)


def tensor(x):
    return dlcore.tensor(np.asarray(x))


@pytest.fixture(autouse=True)
def one_thread():
    """Two libraries whose threads spin for work on the same cores stand in each other's way."""
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
