"""Every example in a docstring runs, and so do the Python blocks of README.md."""

import doctest
import importlib
import pathlib
import pkgutil

import pytest

import dlcore

SKIP = {"dlcore.__main__", "dlcore._C"}
MODULES = ["dlcore"] + [
    m.name
    for m in pkgutil.walk_packages(dlcore.__path__, "dlcore.")
    if m.name not in SKIP and "._" not in m.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
        verbose=False,
    )
    assert failed == 0


def test_readme_blocks(tmp_path, monkeypatch):
    readme = pathlib.Path(__file__).parent.parent / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not at hand")
    monkeypatch.chdir(tmp_path)
    blocks = readme.read_text().split("```python\n")[1:]
    assert blocks
    space = {}
    for block in blocks:
        exec(compile(block.split("```")[0], "README.md", "exec"), space)
