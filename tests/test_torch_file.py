"""Files of torch.save read without torch; hostile ones refused."""

import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import dlcore
from dlcore.io import TorchFile, load_torch, open_checkpoint

torch = pytest.importorskip("torch", reason="torch writes the files that are read here")

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def both(tmp_path, value, **kw):
    """The path of the value in each of the two containers."""
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        torch.save(value, path, _use_new_zipfile_serialization=zipped, **kw)
        yield path


def equal(ours, theirs):
    a = ours.numpy()
    b = theirs.detach()
    b = b.float() if b.dtype in (torch.bfloat16, torch.float16) else b
    assert a.shape == tuple(b.shape)
    np.testing.assert_array_equal(a, b.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_shape_and_stride(tmp_path, dtype):
    base = torch.arange(60).to(getattr(torch, dtype))
    state = {
        "flat": base,
        "matrix": base.reshape(6, 10),
        "transposed": base.reshape(6, 10).T,
        "slice": base.reshape(6, 10)[1:5:2, 3:],
        "channels_last": base.reshape(1, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "scalar": base[7],
        "empty": base[:0].reshape(0, 4),
        "same": base,
    }
    for path in both(tmp_path, state):
        file = open_checkpoint(path)
        assert list(file) == list(state)
        for name, value in state.items():
            assert file.shape(name) == tuple(value.shape) and file.dtype(name) == dtype
            equal(dlcore.Tensor(file[name]), value)


def test_modules_state_dicts_and_training_checkpoints(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2, 6, 6)).sum().backward()
    optimizer.step()
    for path in both(tmp_path, model.state_dict()):
        ours = TorchFile(path)
        for name, value in model.state_dict().items():
            equal(dlcore.Tensor(ours[name]), value)
    whole = {
        "epoch": 3,
        "big": 2**70,
        "loss": -0.5,
        "name": "é \U0001f600",
        "flags": [True, False, None, (1, (2,))],
        "size": torch.ones(2, 3).shape,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    for path in both(tmp_path, whole):
        ours = load_torch(path)
        assert {k: ours[k] for k in ("epoch", "big", "loss", "name", "flags")} == {
            k: whole[k] for k in ("epoch", "big", "loss", "name", "flags")
        }
        assert ours["size"] == (2, 3) and ours["parameter"].tolist() == [1, 1]
        group = ours["optimizer"]["param_groups"][0]
        assert group["momentum"] == 0.9
        equal(
            ours["optimizer"]["state"][0]["momentum_buffer"],
            optimizer.state_dict()["state"][0]["momentum_buffer"],
        )
        assert list(open_checkpoint(path)) == list(model.state_dict())


def test_a_module_reads_it_and_the_file_stays_as_it_is(tmp_path):
    theirs = torch.nn.Linear(5, 3)
    path = tmp_path / "linear.pth"
    torch.save(theirs.state_dict(), path)
    before = path.read_bytes()
    ours = dlcore.nn.Linear(5, 3)
    ours.load_state_dict(load_torch(path), assign=True)
    x = np.ones((2, 5), np.float32)
    np.testing.assert_allclose(
        ours(dlcore.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-6
    )
    with dlcore.no_grad():
        ours.weight.zero_()
    assert path.read_bytes() == before


class Payload:
    """What an attacker would write."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def hostile(tmp_path, payload, protocol=2):
    """The payload in a plain pickle after torch's head, and inside an archive."""
    out = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(head, out, protocol)
    pickle.dump(payload, out, protocol)
    pickle.dump([], out, protocol)
    (tmp_path / "legacy.pt").write_bytes(out.getvalue())
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as z:
        z.writestr("archive/data.pkl", pickle.dumps(payload, protocol))
    return tmp_path / "legacy.pt", tmp_path / "zip.pt"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "payload",
    [
        Payload(print, "run"),
        Payload(eval, "1"),
        Payload(getattr, "x", "join"),
        {"x": Payload(exec, "raise SystemExit")},
        Payload(OrderedDict.fromkeys, "ab"),
        np.ones(2),
        {1, 2},
        torch.nn.Linear(1, 1),
    ],
    ids=lambda p: type(p).__name__,
)
def test_code_and_foreign_objects_are_refused(tmp_path, payload, protocol, capsys):
    for path in hostile(tmp_path, payload, protocol):
        with pytest.raises(ValueError, match=r"load_torch: .*(names|instruction)"):
            load_torch(path)
    assert capsys.readouterr().out == ""


def test_tensors_outside_their_storage_and_bombs_are_refused(tmp_path):
    def described(storage_size, offset, shape, strides):
        out = io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, x):
                return ("storage", torch.FloatStorage, "0", "cpu", storage_size) if x == "S" else None

        Pickler(out, 2).dump(
            {"w": Payload(torch._utils._rebuild_tensor_v2, "S", offset, shape, strides, False, OrderedDict())}
        )
        path = tmp_path / "x.pt"
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("a/data.pkl", out.getvalue())
            z.writestr("a/data/0", np.arange(6, dtype=np.float32).tobytes())
        return path

    equal(load_torch(described(6, 0, (2, 3), (3, 1)))["w"], torch.arange(6.0).reshape(2, 3))
    for bad in (
        (6, 1, (2, 3), (3, 1)),
        (6, 0, (2, 4), (3, 1)),
        (6, -1, (2,), (1,)),
        (6, 0, (10**9, 10**9), (0, 0)),
        (6, 0, (2,), (-1,)),
        (6, 0, (2, 3), (1,)),
        (7, 0, (7,), (1,)),
        (2**62, 0, (2**61,), (1,)),
        (6, 0, (2.0,), (1,)),
    ):
        with pytest.raises(ValueError, match="load_torch"):
            load_torch(described(*bad))

    bomb = (
        b"\x80\x02]q\x00"
        + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60))
        + b"."
    )
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w") as z:
        z.writestr("a/data.pkl", bomb)
    load_torch(tmp_path / "bomb.pt")  # 2^60 paths, 61 lists
    for text in (
        b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02}X\x01\x00\x00\x00a]s]K\x01s.",
        b"",
        b"\x80\x02",
    ):
        with zipfile.ZipFile(tmp_path / "bad.pt", "w") as z:
            z.writestr("a/data.pkl", text)
        with pytest.raises(ValueError, match="load_torch"):
            load_torch(tmp_path / "bad.pt")


def test_compressed_archives_and_big_endian_numbers_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as z:
        z.writestr("a/data.pkl", pickle.dumps({}, 2))
        z.writestr("a/byteorder", "big")
    with pytest.raises(ValueError, match="little-endian"):
        load_torch(tmp_path / "z.pt")
    (tmp_path / "t.pt").write_bytes(b"\x80\x02K\x01." + bytes(40))
    with pytest.raises(ValueError, match=r"torch\.save or safetensors wrote"):
        load_torch(tmp_path / "t.pt")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_mutated_files_load_or_are_refused(tmp_path, kind):
    state = {"w": torch.arange(12.0).reshape(3, 4), "half": torch.ones(3).half(), "n": torch.tensor(3)}
    path = tmp_path / "x"
    if kind == "safetensors":
        dlcore.save_file({k: v.float().numpy() for k, v in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    loaded = 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(bad)))
            match int(rng.integers(0, 4)):
                case 0:
                    bad[at] = int(rng.integers(0, 256))
                case 1:
                    bad[at] ^= 1 << int(rng.integers(0, 8))
                case 2:
                    del bad[at : at + int(rng.integers(1, 9))]
                case 3:
                    bad[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8))
        target = tmp_path / f"{_}"
        target.write_bytes(bad[: int(rng.integers(1, len(bad) + 1))] if rng.random() < 0.1 else bad)
        try:
            file = open_checkpoint(target)
            for name in file:
                assert file[name].shape == file.shape(name)
            loaded += 1
        except ValueError:
            pass
        target.unlink()
    assert 0 < loaded < 400  # bytes of the numbers may change; the structure may not
