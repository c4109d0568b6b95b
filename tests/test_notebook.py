"""What the first cell of a notebook ends with."""

import os
import random
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mcmcot_lite.notebook import start


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A clone's folder; where we are, and what is set, comes back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCMCOT_DATA", "there")
    monkeypatch.setenv("MCMCOT_CACHE", "")
    root = tmp_path / "mcmcot-lite"
    (root / "notebooks").mkdir(parents=True)
    return root


def draws():
    return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002


def test_a_seed_for_all_three_and_the_folder(place, capsys):
    assert start(place, 5, cuda=True) == "cuda"
    first = draws()
    assert Path.cwd() == place / "notebooks"
    start(place, 5, cuda=False)
    assert draws() == first
    start(place, 6, cuda=False)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    told = capsys.readouterr().out
    assert f"torch {torch.__version__}" in told
    assert "fast mode" not in told


@pytest.mark.parametrize("cuda", [True, False])
@pytest.mark.parametrize("gpu", [True, False])
def test_what_it_says_of_the_gpu(cuda, gpu, place, capsys):
    assert start(place, 0, cuda=cuda, gpu=gpu, fast=False, mode="quick") == (
        "cuda" if cuda else "cpu"
    )
    told = capsys.readouterr().out
    assert "fast mode: False\n" in told
    assert "mode: quick" in told
    assert ("Runtime > Change runtime type" in told) == (not cuda)
    assert ("none is needed" in told) == (not cuda and not gpu)


def test_a_class_brings_its_digits_and_yours_come_first(place, monkeypatch):
    (place / "data").mkdir()
    start(place, 0, cuda=False)
    assert os.environ["MCMCOT_DATA"] == "there"
    monkeypatch.delenv("MCMCOT_DATA")
    start(place, 0, cuda=False)
    assert os.environ["MCMCOT_DATA"] == str(place / "data")


def test_drive(place, monkeypatch):
    mounted = []
    drive = types.ModuleType("google.colab.drive")
    drive.mount = mounted.append
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)
    start(place, 0, cuda=False, drive=True)
    assert mounted == ["/content/drive"]
    assert os.environ["MCMCOT_CACHE"] == "/content/drive/MyDrive/mcmcot-lite"
