"""The module links only the C and C++ runtimes and has no symbol of one ISA that another could use."""

import pathlib
import re
import shutil
import subprocess
import zipfile
import zlib

import pytest

from dlcore import _C

MODULE = pathlib.Path(_C.__file__)
ALLOWED = {
    "libc.so.6",
    "libstdc++.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
}
LOADER = re.compile(r"ld-linux.*\.so")


def run(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} (binutils) is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_links_only_the_c_and_cpp_runtimes():
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", str(MODULE)))
    assert needed
    sanitizers = [n for n in needed if "san.so" in n]
    if sanitizers:
        pytest.skip("a sanitizer build links its runtime")
    assert [n for n in needed if n not in ALLOWED and not LOADER.match(n)] == []


def isa_objects():
    """The objects of every build tree but those of sanitizers, which add constructors of their own."""
    root = pathlib.Path(__file__).parent.parent / "build"
    found = []
    for cache in root.glob("**/CMakeCache.txt"):
        if not re.search(r"^DLCORE_SANITIZE:\w+=.", cache.read_text(), re.M):
            found += cache.parent.glob("CMakeFiles/dlcore_x86_64*.dir/csrc/cpu/*.o")
            found += cache.parent.glob("CMakeFiles/dlcore_generic.dir/csrc/cpu/*.o")
    return sorted(found)


def test_isa_objects_define_nothing_outside_their_namespace():
    """A weak symbol outside it (a shared inline function) might be kept in its AVX-512 copy for all."""
    objects = isa_objects()
    if not objects:
        pytest.skip("no build tree at hand (the wheel was built elsewhere)")
    for path in objects:
        ident = re.search(r"dlcore_(\w+)\.dir", str(path)).group(1)
        inside = re.compile(
            rf"^(typeinfo (name )?for |vtable for |guard variable for )?.*\bdlcore::{ident}::"
        )
        for line in run("nm", "-C", "--defined-only", str(path)).splitlines():
            kind, name = line[17:18], line[19:]
            if kind in "WVu" and not inside.match(name) and not name.startswith("DW.ref."):
                raise AssertionError(f"{path.name} ({ident}) defines a weak symbol of everyone: {name}")
            if kind in "TDBR" and "dlcore::" in name and not inside.match(name):
                raise AssertionError(f"{path.name} ({ident}) defines {name} outside its namespace")


def test_isa_objects_have_no_static_initialisers():
    objects = isa_objects()
    if not objects:
        pytest.skip("no build tree at hand (the wheel was built elsewhere)")
    for path in objects:
        assert ".init_array" not in run("readelf", "-S", "-W", str(path)), path
        assert "_GLOBAL__sub_I" not in run("nm", str(path)), path


def test_baseline_object_uses_no_avx():
    objects = [p for p in isa_objects() if "dlcore_x86_64.dir" in str(p)]
    if not objects:
        pytest.skip("no x86-64 build tree at hand")
    for path in objects:
        assert not re.search(r"%[yz]mm\d", run("objdump", "-d", "--no-show-raw-insn", str(path))), path


def test_the_whole_package_compresses_to_a_small_wheel():
    """With every ISA of this build; the wheel that CI makes for the test below holds the plainest alone."""
    files = [p for p in MODULE.parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    if any("san.so" in n for n in re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", str(MODULE)))):
        pytest.skip("a sanitizer build is large")
    assert sum(len(zlib.compress(p.read_bytes(), 6)) for p in files) < 10e6


def test_wheel_is_small_and_complete(tmp_path):
    """The wheel that CI built (build/wheel): under 10 MB, typed, with its licences."""
    wheels = sorted((pathlib.Path(__file__).parent.parent / "build" / "wheel").glob("dlcore-*.whl"))
    if not wheels:
        pytest.skip("no wheel was built (CI builds one into build/wheel)")
    for wheel in wheels:
        assert wheel.stat().st_size < 10e6
        names = zipfile.ZipFile(wheel).namelist()
        for must in ("dlcore/py.typed", "dlcore/_C.pyi", "dlcore/__init__.py"):
            assert must in names
        assert any(n.endswith("LICENSE") for n in names)
        assert not [n for n in names if n.endswith((".a", ".cpp", ".o", ".h"))]
