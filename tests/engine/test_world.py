"""A run shared by several processes equals the run of one, and survives the loss of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmcot_lite.checkpoint import Checkpoints
from mcmcot_lite.world import ALONE, World

WORKER = Path(__file__).parent / "worker.py"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(task, out, size):
    """The processes of a run, as torchrun starts them."""
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    clean |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(WORKER), json.dumps(task), str(out)]
    if size == 1:
        worlds = [clean]
    else:
        clean |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        clean |= {"WORLD_SIZE": str(size)}
        worlds = [clean | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(size)]
    pipe = subprocess.PIPE
    return [subprocess.Popen(command, env=e, stdout=pipe, stderr=pipe, text=True) for e in worlds]


def results(task, out, size):
    """What each process returns."""
    processes = start(task, out, size)
    ends = [p.communicate(timeout=300) for p in processes]
    assert [p.returncode for p in processes] == [0] * size, ends
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(size)]


def close(a, b):
    """Equal up to the order of sums."""
    for key, value in a["g"].items():
        assert torch.allclose(value, b["g"][key], rtol=1e-3, atol=1e-4), key
    assert torch.allclose(a["z_hat"], b["z_hat"], rtol=1e-3, atol=1e-4)
    assert torch.equal(a["z"], b["z"])  # drawn, not computed
    for one, other in zip(a["history"], b["history"], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == pytest.approx(other[name], rel=1e-3, abs=1e-5), name


CASES = {
    "printed": {"settings": {}},
    "released": {"settings": {"schedule": "released", "iterations": 2, "regression": 1}},
    "exact, masked": {"settings": {"transport": "exact", "L": 1}, "masked": True},
    "small batches": {"settings": {"batch_size": 2, "chains": "noise", "iterations": 2}},
    "BatchNorm": {"settings": {"s": 0.02}, "normed": True},
    "BatchNorm of the batch": {
        "settings": {"s": 0.02, "batchnorm": "batch", "schedule": "released", "iterations": 2},
        "normed": True,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES.values(), ids=CASES.keys())
def test_two_processes_equal_one(task, tmp_path):
    task = {"do": "train"} | task
    one = results(task, tmp_path / "one", 1)[0]
    first, second = results(task, tmp_path / "two", 2)
    close(first, one)
    for key in first["g"]:
        assert torch.equal(first["g"][key], second["g"][key]), key  # to the bit: one model
    assert torch.equal(first["z_hat"], second["z_hat"])


@pytest.mark.slow
def test_three_processes_of_unequal_parts(tmp_path):
    task = {"do": "train", "settings": {"iterations": 2}}
    one = results(task, tmp_path / "one", 1)[0]
    for got in results(task, tmp_path / "three", 3):
        close(got, one)


@pytest.mark.parametrize(("n", "d"), [(700, 3), (2500, 8)])
def test_shared_transport_is_the_transport(n, d, tmp_path):
    """2,500 points: candidates from tiles, not from the whole table."""
    task = {"do": "transport", "n": n, "d": d}
    one = results(task, tmp_path / "one", 1)[0]
    for got in results(task, tmp_path / "two", 2):
        assert got["numbers"][:2] == pytest.approx(one["numbers"][:2], rel=1e-9)
        assert got["numbers"][2] == one["numbers"][2] == 1.0
        assert torch.equal(got["exact"], one["exact"])
        assert got["numbers"][3:6] == pytest.approx(one["numbers"][3:6], rel=1e-6)
        assert float((got["semidual"] == one["semidual"]).double().mean()) > 0.99


@pytest.mark.slow
def test_a_lost_process_is_reported_and_the_run_goes_on_with_fewer(tmp_path):
    """Process 0 is killed in iteration 3; the other says so; one process finishes the run."""
    task = {"do": "train", "settings": {}, "out": str(tmp_path / "run")}
    processes = start(task | {"dies": 3}, tmp_path / "two", 2)
    ends = [p.communicate(timeout=120) for p in processes]
    assert processes[0].returncode == -signal.SIGKILL
    assert processes[1].returncode not in (0, None)
    assert "Process 1 of 2: another process does not answer" in ends[1][1]
    assert Checkpoints(tmp_path / "run").load()[0]["at"]["k"] == 3
    whole = results(task | {"out": None}, tmp_path / "whole", 1)[0]
    close(results(task, tmp_path / "one", 1)[0], whole)
    for got in results(task, tmp_path / "again", 2):  # finished: every process has it
        close(got, whole)


@pytest.mark.slow
def test_a_batch_of_one_image_for_batchnorm_is_refused_by_all(tmp_path):
    """21 images in batches of 2 leave one alone, whatever each process holds of them."""
    task = {"do": "train", "settings": {"batch_size": 2}, "normed": True}
    processes = start(task, tmp_path / "two", 2)
    ends = [p.communicate(timeout=120) for p in processes]
    words = "batch_size must leave 2 images in every batch for BatchNorm; got 2 with n = 21"
    assert any(words in err for _, err in ends)
    assert all(p.returncode not in (0, None) for p in processes)


@pytest.mark.slow
def test_the_first_process_of_a_machine_works_and_the_others_find_it(tmp_path):
    shared = {"do": "turns", "path": str(tmp_path / "cache"), "fails": False}
    assert [r["made"] for r in results(shared, tmp_path / "all", 3)] == [True, False, False]
    lost = {"do": "turns", "path": str(tmp_path / "none" / "cache"), "fails": True}
    assert [r["made"] for r in results(lost, tmp_path / "lost", 2)] == ["failed", "failed"]


def test_alone():
    x = torch.arange(6.0)
    assert ALONE.rows(x) is not None
    assert torch.equal(ALONE.gather(x, 6), x)
    ALONE.add(x)
    ALONE.share(x)
    ALONE.wait()
    assert ALONE.in_turn(lambda: 3) == 3
    assert torch.equal(x, torch.arange(6.0))
    assert ALONE.any(True)
    assert not ALONE.any(False)
    parts = [World(r, 4).rows(x) for r in range(4)]
    assert [p.tolist() for p in parts] == [[0, 4], [1, 5], [2], [3]]
    assert [World(r, 4).count(6) for r in range(4)] == [2, 2, 1, 1]
