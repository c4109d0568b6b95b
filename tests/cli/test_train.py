"""train: resumed, killed, stopped, refused; its files."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cli.runs import iterations, last, log, same_runs, start, train, words
from PIL import Image

from mcmcot_lite import cli
from mcmcot_lite.cli import main
from mcmcot_lite.cli.log import Log
from mcmcot_lite.lock import locked
from mcmcot_lite.world import WorldError

module = importlib.import_module("mcmcot_lite.cli.train")


def files(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_the_files_of_a_run(tmp_path, capsys):
    train(tmp_path / "a")
    said = capsys.readouterr()
    assert said.err == ""
    assert "40 images of 3 x 32 x 32" in said.out
    assert "Finished 3 iterations" in said.out
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["preset"] == "svhn-quick"
    assert record["images"]["number"] == 40
    assert record["images"]["shape"] == [3, 32, 32]
    assert record["images"]["licence"]
    assert {"python", "torch", "numpy"} <= record["versions"].keys()
    assert record["command"][0] == "train"
    rows = log(tmp_path / "a")
    kinds = ["start", *["iteration", "correction"] * 3, "end"]
    assert [r["event"] for r in rows] == kinds
    history = last(tmp_path / "a")["history"]
    assert [r for r in rows if r["event"] == "iteration"] == [
        {"event": "iteration", **row} for row in history
    ]


def test_a_bare_name_means_quick_and_says_so(tmp_path, capsys):
    train(tmp_path / "a", "svhn")
    assert capsys.readouterr().out.splitlines()[0].startswith("svhn means svhn-quick")
    train(tmp_path / "a", "svhn:quick")  # the same run
    out = capsys.readouterr().out
    assert "Nothing left to do" in out
    assert "svhn means" not in out
    assert len(log(tmp_path / "a")) == 8


def broken_off(monkeypatch, out, k):
    """A run that ends in the middle, without being asked."""

    class Enough(Exception):
        pass

    real = module._Training.after

    def after(self, step):
        real(self, step)
        if step.k == k:
            raise Enough

    with monkeypatch.context() as patched:
        patched.setattr(module._Training, "after", after)
        with pytest.raises(Enough):
            main(words(out))


def test_a_reading_of_a_preset(tmp_path, capsys):
    train(tmp_path, "svhn-quick", "--reading", "released")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["preset"] == "svhn-quick-released"
    st = record["settings"]
    assert (st["transport"], st["batchnorm"], st["lr"]) == ("semidual", "batch", 2e-4)
    assert "schedule released" in capsys.readouterr().out
    train(tmp_path, "svhn-quick", "--reading", "released")  # the same run, which is done


def test_a_broken_run_goes_on_by_itself(tmp_path, monkeypatch, capsys):
    train(tmp_path / "whole")
    broken_off(monkeypatch, tmp_path / "a", 2)
    assert iterations(tmp_path / "a") == [1, 2]
    assert len(last(tmp_path / "a")["history"]) < 2  # logged, and not saved
    with (tmp_path / "a" / "log.jsonl").open("a") as file:
        file.write('{"event": "itera')  # cut off by a kill
    train(tmp_path / "a")
    assert "Going on in" in capsys.readouterr().out
    assert iterations(tmp_path / "a") == [1, 2, 3]
    assert [r["event"] for r in log(tmp_path / "a")].count("resume") == 1
    assert same_runs(tmp_path / "whole", tmp_path / "a")


def test_without_a_preset_the_folder_says_what_to_do(tmp_path, monkeypatch):
    train(tmp_path / "whole")
    broken_off(monkeypatch, tmp_path / "a", 2)
    assert main(["train", "--out", str(tmp_path / "a"), "--no-progress", "--no-pictures"]) == 0
    assert same_runs(tmp_path / "whole", tmp_path / "a")


def test_resume_may_be_said(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "a", "svhn-quick", "--resume", iterations=2)
    train(tmp_path / "a", "svhn-quick", "--resume")
    assert same_runs(tmp_path / "whole", tmp_path / "a")


def test_more_iterations(tmp_path):
    train(tmp_path / "whole", iterations=4)
    train(tmp_path / "a", iterations=2)
    train(tmp_path / "a", iterations=4)
    assert same_runs(tmp_path / "whole", tmp_path / "a")
    assert iterations(tmp_path / "a") == [1, 2, 3, 4]


DIFFERENT = {
    "K": ({"K": 3}, "K: 2 there, 3 here"),
    "two": ({"K": 3, "lr": 0.5}, "K: 2 there, 3 here; lr: 0.001 there, 0.5 here"),
    "n": ({"n": 41}, "n: 40 there, 41 here"),
    "seed": ({"seed": 1}, "seed: 0 there, 1 here"),
    "width": ({"width": 0.03}, "width: 0.02 there, 0.03 here"),
    "fewer": ({"iterations": 2}, "iterations: 3 there, 2 here"),
    "data": ({"preset": "mnist-quick"}, "dataset: 'svhn' there, 'mnist5k' here"),
}


@pytest.mark.parametrize(("change", "text"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_run_is_refused(change, text, tmp_path, capsys):
    train(tmp_path / "a")
    before = files(tmp_path)
    capsys.readouterr()
    assert main(words(tmp_path / "a", **change)) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert files(tmp_path) == before


def test_how_it_is_computed_may_change(tmp_path):
    train(tmp_path / "a", iterations=2)
    train(tmp_path / "a", iterations=3, chunk=7, precision="fp32", every=5)
    assert iterations(tmp_path / "a") == [1, 2, 3]
    assert json.loads((tmp_path / "a" / "run.json").read_text())["compute"]["chunk"] == 7


def test_other_images_are_refused_and_nothing_changes(tmp_path, images, monkeypatch, capsys):
    train(tmp_path / "a")
    before = files(tmp_path / "a")
    real = module.images_of

    def flipped(*args, **values):
        found = real(*args, **values)
        found.x.copy_(found.x.flip(0))
        return found

    monkeypatch.setattr(module, "images_of", flipped)
    capsys.readouterr()
    assert main(words(tmp_path / "a", iterations=4)) == 2
    assert "others there" in capsys.readouterr().err
    assert files(tmp_path / "a") == before


def test_a_second_process_is_refused(tmp_path, capsys):
    train(tmp_path / "a")
    before = files(tmp_path / "a")
    for name in ("train.lock", "lock"):  # another command; the library
        with locked(tmp_path / "a" / name):
            capsys.readouterr()
            assert main(words(tmp_path / "a", iterations=4)) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert "no other run uses" in err
        assert files(tmp_path / "a") == before


def wait_for(out, k):
    """Returns when a process has logged iteration k."""
    path = Path(out) / "log.jsonl"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if path.exists() and any(r.get("k") == k for r in Log(path).rows()[1:]):
            return
        time.sleep(0.02)
    raise AssertionError("the process did not come that far")


MANY = 15  # iterations: enough to be caught in the middle


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_real_process_is_killed_or_stopped_and_goes_on(number, tmp_path):
    train(tmp_path / "whole", iterations=MANY)
    process = start(words(tmp_path / "a", iterations=MANY))
    wait_for(tmp_path / "a", 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert err.count("\n") == 1
        assert "goes on from there" in err
        assert log(tmp_path / "a")[-1]["event"] == "stop"
    assert len(last(tmp_path / "a")["history"]) < MANY
    train(tmp_path / "a", iterations=MANY)
    assert iterations(tmp_path / "a") == list(range(1, MANY + 1))
    assert same_runs(tmp_path / "whole", tmp_path / "a")


@pytest.mark.slow
def test_two_processes_share_a_run(tmp_path, monkeypatch):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2}
    for name, value in (shared | {"GLOO_SOCKET_IFNAME": "lo"}).items():
        monkeypatch.setenv(name, str(value))
    processes = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        command = [w for w in words(tmp_path / "a", batchnorm="batch") if w != "--no-pictures"]
        processes.append(start(command, "default"))  # torch warns
    ends = [p.communicate(timeout=300) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], ends
    assert ends[1][0] == ""  # only the first process talks
    assert iterations(tmp_path / "a") == [1, 2, 3]
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    train(tmp_path / "one", batchnorm="batch")
    a, b = last(tmp_path / "a"), last(tmp_path / "one")
    assert torch.allclose(a["z_hat"], b["z_hat"], rtol=1e-3, atol=1e-3)


def test_divergence_ends_with_1_and_names_the_folder(tmp_path, capsys):
    assert main(words(tmp_path / "a", s=1.9, sigma=1e-4, K=30)) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: Iteration 1:")
    assert f"The last good checkpoint is in {tmp_path / 'a'}." in err
    assert err.count("\n") == 1


def test_pictures_are_there_and_change_nothing(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    train(tmp_path / "without")
    with_pictures = [w for w in words(tmp_path / "a") if w != "--no-pictures"]
    assert main(with_pictures) == 0
    assert same_runs(tmp_path / "without", tmp_path / "a")
    found = sorted((tmp_path / "a" / "pictures").iterdir())
    assert [p.name for p in found] == ["000001.png", "000002.png", "000003.png"]
    for path in found:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width > 1000
            assert picture.height > 300
    pictures = [r["picture"] for r in log(tmp_path / "a") if r["event"] == "correction"]
    assert pictures == [f"pictures/{p.name}" for p in found]
    abp = [w for w in words(tmp_path / "abp", alpha=0) if w != "--no-pictures"]
    assert main(abp) == 0  # no correction: one at the end
    assert [p.name for p in (tmp_path / "abp" / "pictures").iterdir()] == ["000003.png"]


def test_without_matplotlib_it_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module.pictures, "have_matplotlib", lambda: False)
    assert main([w for w in words(tmp_path / "a") if w != "--no-pictures"]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install" in err
    assert not (tmp_path / "a" / "pictures").exists()


def test_the_command_line_is_no_part_of_the_package():
    code = "import sys, mcmcot_lite; print('mcmcot_lite.cli' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert cli.__all__ == ["main"]


@pytest.mark.parametrize(("free", "ending"), [(None, ")"), (1 << 40, "of 1,048,576 MiB free")])
def test_memory_is_told_before_the_run(free, ending, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mcmcot_lite.cli.train.free_memory", lambda _: free)
    train(tmp_path / "run", iterations=1)
    out, err = capsys.readouterr()
    line = next(line for line in out.splitlines() if line.startswith("Memory it will take: "))
    assert line.endswith(ending)
    assert "warning" not in err


def test_too_little_memory_is_said_before_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mcmcot_lite.cli.train.free_memory", lambda _: 1000)
    train(tmp_path / "run", iterations=1)
    assert (
        "warning: more memory than is free; try a smaller --batch-size" in capsys.readouterr().err
    )


def test_a_file_where_pictures_go_is_found_before_the_run(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pictures").touch()
    line = [word for word in words(tmp_path / "run") if word != "--no-pictures"]
    assert main(line) == 2
    assert "error: pictures must be a folder; got the file" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_picture_or_log_that_cannot_be_written_costs_only_itself(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mcmcot_lite.cli.pictures.summary", full)
    line = [word for word in words(tmp_path / "run") if word != "--no-pictures"]
    assert main(line) == 0
    assert "warning: iteration 1 is not in the log or has no picture" in capsys.readouterr().err
    assert iterations(tmp_path / "run") == [1, 2, 3]
    assert len(last(tmp_path / "run")["history"]) == 3


def test_a_run_that_lost_a_process_after_a_checkpoint_keeps_what_was_asked(tmp_path, monkeypatch):
    train(tmp_path / "run", iterations=1)

    def lost(self):
        module.fit(  # a checkpoint of the longer run is written, then a process dies
            self.g, self.images.x, self.preset.settings, rng=self.rng, progress=False,
            compute=self.preset.compute, out=self.folder.path, every=0,
        )  # fmt: skip
        raise WorldError("another process does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(module._Training, "fit", lost)
        assert main(words(tmp_path / "run", iterations=2)) == 1
    assert main(["train", "--out", str(tmp_path / "run"), "--no-progress", "--no-pictures"]) == 0
    assert iterations(tmp_path / "run") == [1, 2]


def test_two_equal_commands_leave_equal_global_generators(tmp_path):
    for name in ("a", "b"):
        torch.manual_seed(len(name))
        torch.rand(3)
        train(tmp_path / name, iterations=1)
    a, b = last(tmp_path / "a"), last(tmp_path / "b")
    assert torch.equal(a["global_rng"], b["global_rng"])
