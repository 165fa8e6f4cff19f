import os
import zlib

import numpy as np
import pytest

from dlcore import _C


@pytest.fixture
def rng(request):
    """A generator seeded by the test's own name: the same data in every run and order."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def restore_runtime():
    """Settings go back to what they were; in guard mode nothing was written outside its block."""
    isa, threads, winograd = _C.current_isa(), _C.num_threads(), _C.winograd()
    yield
    _C.set_winograd(winograd)
    _C.set_isa(isa)
    _C.set_num_threads(threads)
    assert _C.check_guards() == ""


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: DLCORE_DATA, or shared/data beside the checkout."""
    root = os.environ.get("DLCORE_DATA") or os.path.join(
        os.path.dirname(__file__), "..", "..", "shared", "data"
    )
    if not os.path.isdir(root):
        pytest.skip("real data sets are not at hand (set DLCORE_DATA)")
    return os.path.abspath(root)
