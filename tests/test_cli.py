"""The command line, through main([...]) and once as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import dlcore
from dlcore import cli
from dlcore.cli import demo


def run(capsys, *argv):
    status = cli.main(list(argv))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# ---- usage -------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_of_today(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for name in cli.COMMANDS:
        assert f"\n    {name} " in out
    assert "\n    explain " not in out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_with_examples(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and "examples:" in out and f"dlcore {command}" in out and "--json" in out


@pytest.mark.parametrize(
    "argv", [[], ["frob"], ["info", "--frob"], ["bench", "--threads", "x"], ["demo", "--data", "x"]]
)
def test_wrong_usage_is_2(capsys, argv):
    status, out, err = run(capsys, *argv)
    assert status == 2 and out == "" and "usage: dlcore" in err


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"dlcore {dlcore.__version__}\n", "")


# ---- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["bench", "--threads", "0"], "--threads must be between 1 and 4096, got 0"),
        (["bench", "--filter", "nothing"], "'nothing' matches no kernel (families: "),
        (["bench", "--json", "/nowhere/x.json"], "no such folder: /nowhere"),
        (["demo", "--epochs", "0"], "--epochs must be at least 1, got 0"),
    ],
)
def test_failures_are_1_and_one_line(capsys, argv, text):
    status, out, err = run(capsys, *argv)
    assert status == 1 and out == ""
    assert err.startswith(f"dlcore {argv[0]}: ") and text in err and err.count("\n") == 1


def test_traceback_on_demand(monkeypatch):
    monkeypatch.setenv("DLCORE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="--threads"):
        cli.main(["bench", "--threads", "0"])


def test_interrupt_is_130_without_a_traceback(capsys, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dlcore.cli.info.run", stop)
    status, _, err = run(capsys, "info")
    assert status == 130 and err == "\ndlcore info: interrupted\n"


# ---- info --------------------------------------------------------------------------------------------------


def test_info(capsys):
    status, out, err = run(capsys, "info")
    assert status == 0 and err == ""
    for key in ("dlcore", "ISA", "threads", "CUDA", "compiler", "NumPy", "memory"):
        assert f"\n{key} " in f"\n{out}"
    assert dlcore.config.get_isa() in out and "from: " in out and "BLAS" in out


def test_info_json(capsys):
    status, out, _ = run(capsys, "info", "--json")
    info = json.loads(out)
    assert status == 0 and info["dlcore"] == dlcore.__version__ and info["isa"] in info["isa_available"]
    assert info["threads"] >= 1 and info["threads_reason"] and info["numpy_blas"]["name"]
    assert info["memory"]["total"] > 0 and info["cuda"]


# ---- bench -------------------------------------------------------------------------------------------------


def test_bench(capsys, tmp_path):
    pytest.importorskip("threadpoolctl")
    target = tmp_path / "b.json"
    status, out, err = run(
        capsys, "bench", "--quick", "--threads", "1", "--filter", "matmul 256", "--json", str(target)
    )
    assert status == 0, err
    assert "FMA peak" in out and "matmul 256x256" in out and "geometric mean" in out
    data = json.loads(target.read_text())
    (result,) = data["results"]
    assert result["dlcore"]["samples"] >= 3 and result["ratio"] > 0 and 0 < result["fma_share"] < 1.5
    assert data["machine"]["threads"] == 1


def test_bench_json_to_standard_output_is_json_alone(capsys):
    status, out, err = run(capsys, "bench", "--quick", "--filter", "matmul 256", "--json", "-")
    assert status == 0 and json.loads(out)["results"] and "matmul 256" in err


def test_bench_plot(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / "roof.png"
    assert run(capsys, "bench", "--quick", "--filter", "matmul 256", "--plot", str(target))[0] == 0
    assert target.read_bytes().startswith(b"\x89PNG")


# ---- demo --------------------------------------------------------------------------------------------------


def test_images_as_text():
    image = np.zeros((28, 28, 1), np.float32)
    image[1:3, 1] = 1.0
    lines = demo.side_by_side([image, image], ["a", "a name that is much too long to fit in"]).split("\n")
    assert len(lines) == 14 and lines[0] == "@" + " " * 26 + "@" and all(len(line) <= 53 for line in lines)


def test_shown_are_two_right_ones_and_the_most_confident_mistake():
    p = np.eye(3)[[0, 1, 2, 0, 1]] * np.array([0.9, 0.9, 0.6, 0.8, 0.9])[:, None]
    assert demo._shown(p, np.array([0, 1, 0, 1, 1])) == [0, 1, 3]


def test_demo_json(capsys, tmp_path):
    status, out, err = run(capsys, "demo", "--epochs", "2", "--json", "--out", str(tmp_path / "pictures"))
    assert status == 0, err
    d = json.loads(out)
    assert d["data"] == "fashion" and len(d["history"]["loss"]) == 2
    assert d["history"]["loss"][1] < d["history"]["loss"][0] and d["accuracy"] > 0.6
    assert len(d["kernels"]) >= 5 and d["training_seconds"] < d["seconds"]
    if d["pictures"]:
        for name in ("training.png", "predictions.png"):
            assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_demo_says_so_without_matplotlib(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(demo, "_kernel_table", lambda say: [])
    status, out, err = run(capsys, "demo", "--epochs", "1", "--out", str(tmp_path / "pictures"))
    assert status == 0, err
    assert "pip install 'dlcore[plot]'" in out and not (tmp_path / "pictures").exists()
    assert "test accuracy" in out and "%" in out and "57/57" in out


def test_demo_is_reproducible(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "_kernel_table", lambda say: [])
    monkeypatch.setattr(demo, "_draw", lambda *_: [])
    first, second = (
        json.loads(run(capsys, "demo", "--epochs", "1", "--seed", "5", "--json")[1]) for _ in range(2)
    )
    assert first["history"] == second["history"] and first["loss"] == second["loss"]


# ---- as processes ------------------------------------------------------------------------------------------


def process(*argv, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "dlcore", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def test_module_runs_as_a_process():
    with process("info", "--json") as p:
        out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and err == "" and json.loads(out)["dlcore"] == dlcore.__version__


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_stops_a_process_quietly():
    with process("bench", "--filter", "matmul") as p:
        p.stdout.readline()  # the machine has been measured: it is at work
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
    assert p.returncode == 130 and "Traceback" not in err and "interrupted" in err


def test_a_closed_pipe_is_no_traceback():
    with process("bench", "--quick", "--filter", "matmul 256") as p:
        p.stdout.readline()
        p.stdout.close()
        err = p.stderr.read()
    assert p.returncode in (0, 1) and "Traceback" not in err


def test_import_loads_neither_the_command_line_nor_extras():
    bad = {"argparse", "tqdm", "matplotlib", "threadpoolctl", "dlcore.cli", "dlcore.bench", "dlcore.datasets"}
    code = f"import sys, dlcore; sys.exit(' '.join({bad} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
