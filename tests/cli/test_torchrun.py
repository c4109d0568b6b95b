"""The command behind ``torchrun``: its options get through, and two processes make one run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from cli.runs import iterations, last, train, words
from torch.distributed.run import get_args_parser

from mcmcot_lite.cli.parser import parser


def options():
    """The spellings of each option of train, with a word for each value it takes."""
    commands = next(a for a in parser()._actions if a.dest == "command")
    for action in commands.choices["train"]._actions:
        if action.option_strings and action.dest != "help":
            values = [] if action.nargs == 0 else ["1", "2"] if action.nargs == "+" else ["1"]
            yield pytest.param(action.option_strings, values, id=action.dest)


@pytest.mark.parametrize(("spellings", "values"), list(options()))
def test_torchrun_passes_each_option_on_in_one_spelling_at_least(spellings, values, capsys):
    passed = []
    for spelling in spellings:
        line = ["-m", "mcmcot_lite", "train", "mnist", spelling, *values]
        try:
            left = get_args_parser().parse_args(["--nproc_per_node=2", *line]).training_script_args
        except SystemExit:  # ambiguous: torchrun takes it for a shortened option of its own
            continue
        passed += [spelling] if left == ["train", "mnist", spelling, *values] else []
    capsys.readouterr()
    assert passed


def torchrun(line, size=2):
    also = {"--n": "--images", "--d": "--latents"}
    line = [also.get(word, word) for word in line]
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={size}"]
    return subprocess.run(
        [*command, "-m", "mcmcot_lite", *line],
        env=clean | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_behind_torchrun_make_the_run_of_one(tmp_path):
    train(tmp_path / "one", device="cpu")
    done = torchrun(words(tmp_path / "two", device="cpu"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished 3 iterations") == 1
    a, b = last(tmp_path / "one"), last(tmp_path / "two")
    assert iterations(tmp_path / "two") == [1, 2, 3]
    assert torch.equal(a["z"], b["z"])
    assert torch.allclose(a["z_hat"], b["z_hat"], rtol=1e-3, atol=1e-3)
    for one, other in zip(a["history"], b["history"], strict=True):
        assert one["mse"] == pytest.approx(other["mse"], rel=1e-3)


@pytest.mark.slow
def test_bad_words_behind_torchrun_end_every_process(tmp_path):
    done = torchrun(words(tmp_path / "bad", device="cpu", K=-1))
    assert done.returncode != 0
    assert "error: K must be at least 0; got -1" in done.stderr
    assert not (tmp_path / "bad").exists()
