"""The twelve presets: what they say, how they are spelled, that every field can be overridden."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mcmcot_lite import Compute, Settings
from mcmcot_lite.cli.fields import OWN, changed
from mcmcot_lite.cli.parser import parser
from mcmcot_lite.data import load
from mcmcot_lite.data._sources import SOURCES
from mcmcot_lite.presets import DATASETS, NAMES, READINGS, SIZES, Preset, find, preset

PRINTED = {  # Section 7.1: n, K, alpha, d
    "mnist": (60_000, 50, 0.5, 30),
    "fashion": (60_000, 50, 0.5, 30),
    "svhn": (73_257, 30, 0.3, 64),
    "celeba": (60_000, 50, 0.3, 64),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_every_preset_builds(name, size):
    run = preset(name, size)
    assert run.settings.schedule == "released"
    assert run.settings.d == PRINTED[name][3]
    if size == "paper":
        st = run.settings
        assert (run.n, st.K, st.alpha, st.d) == PRINTED[name]
        assert (run.width, st.L, st.L2, st.regression, st.batch_size) == (1, 50, 3, 50, 2000)
    small = replace(run, width=0.02)
    shape = {"svhn": (3, 32, 32), "celeba": (3, 64, 64)}.get(name, (1, 28, 28))
    assert small.network().shape == shape
    assert run.record()["settings"]["K"] == run.settings.K


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_readings(name, size):
    """One source each; the same images, network, chains and step."""
    base = preset(name, size)
    printed, released = (preset(name, size, reading) for reading in READINGS)
    for run in (printed, released):
        assert run.settings.transport == "semidual"
        assert replace(run, settings=base.settings) == base
        for field in ("d", "sigma", "s", "K", "L", "L2", "alpha", "batch_size", "chains"):
            assert getattr(run.settings, field) == getattr(base.settings, field)
    assert (printed.settings.schedule, printed.settings.regression) == ("printed", 0)
    assert printed.settings.eps == base.settings.eps == 0.05
    assert printed.settings.iterations == base.settings.iterations * base.settings.L
    st = released.settings
    assert (st.schedule, st.regression, st.lr, st.batchnorm) == ("released", st.L, 2e-4, "batch")
    assert (st.transport, st.eps) == ("semidual", 0.025)  # an L1 norm of 0.05


def test_bad_readings():
    with pytest.raises(ValueError, match=r"reading must be one of .*got"):
        preset("mnist", "quick", "script")
    with pytest.raises(TypeError, match="reading"):
        preset("mnist", "quick", 3)


SPELLED = ["mnist-quick", "mnist/quick", "mnist:quick", "mnist.quick", "mnist_quick", "MNIST-Quick"]


@pytest.mark.parametrize("word", SPELLED)
def test_spellings(word):
    assert find([word]) == ("mnist", "quick")
    assert find([word], "quick") == ("mnist", "quick")


def test_more_spellings():
    assert find(["mnist", "t4"]) == find(["mnist"], "t4") == ("mnist", "t4")
    assert find(["mnist"]) == ("mnist", None)
    assert find(["fashion_mnist-t4"]) == find(["fashion-mnist", "t4"]) == ("fashion", "t4")


@pytest.mark.parametrize("wrong", [["mnits"], ["quick"], ["mnist", "huge"], ["a", "b", "c"], [""]])
def test_unknown_presets_are_listed(wrong):
    with pytest.raises(ValueError, match=r"preset must be one of mnist, .*quick; got .*example"):
        find(wrong)


def test_two_sizes():
    with pytest.raises(ValueError, match="given once; got quick and t4"):
        find(["mnist-quick"], "t4")


def test_data_sets_are_those_of_the_library():
    assert set(DATASETS) == set(SOURCES)
    with pytest.raises(ValueError, match="dataset must be one of 'mnist', 'mnist5k'"):
        asked("--dataset", "mnits")


def test_mnist_quick_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path))
    monkeypatch.setenv("MCMCOT_CACHE", str(tmp_path))
    run = preset("mnist", "quick")
    assert run.n <= len(load(run.dataset, download=False))


WORDS = {
    "dataset": (["fashion_mnist"], "fashion_mnist"),
    "n": (["17"], 17),
    "width": (["0.5"], 0.5),
    "generator": (["celeba"], "celeba"),
    "seed": (["5"], 5),
    "d": (["7"], 7),
    "sigma": (["0.25"], 0.25),
    "s": (["1e-2"], 0.01),
    "K": (["11"], 11),
    "L": (["4"], 4),
    "L2": (["1"], 1),
    "alpha": (["0"], 0.0),
    "iterations": (["3"], 3),
    "schedule": (["released"], "released"),
    "regression": (["9"], 9),
    "batch_size": (["33"], 33),
    "lr": (["1e-4"], 1e-4),
    "betas": (["0.1", "0.2"], (0.1, 0.2)),
    "chains": (["noise"], "noise"),
    "targets": (["fresh"], "fresh"),
    "transport": (["auto"], "auto"),
    "eps": (["0.1"], 0.1),
    "reuse_h": ([], True),
    "batchnorm": (["batch"], "batch"),
    "x_range": (["-1", "1"], (-1.0, 1.0)),
    "precision": (["fp32"], "fp32"),
    "chunk": (["8"], 8),
    "compile": ([], True),
    "graphs": ([], True),
    "channels_last": ([], True),
}
FIELDS = [*OWN, *(f.name for cls in (Settings, Compute) for f in fields(cls))]


def value(run: Preset, name: str):
    return next(getattr(o, name) for o in (run, run.settings, run.compute) if hasattr(o, name))


def asked(*words):
    return changed(preset("mnist"), parser().parse_args(["train", "mnist", "--out", "x", *words]))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_overridden(name):
    words, want = WORDS[name]
    for spelled in {f"--{name}", f"--{name.replace('_', '-')}"}:
        run = asked(spelled, *words)
        assert value(run, name) == want
        others = [f for f in FIELDS if f != name]
        assert all(value(run, f) == value(preset("mnist"), f) for f in others)


def test_none_and_no():
    run = asked("--n", "all", "--x-range", "none", "--chunk", "none", "--no-reuse-h")
    assert (run.n, run.settings.x_range, run.compute.chunk) == (None, None, None)
    assert run.settings.reuse_h is False


def test_every_option_explains_itself(capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["train", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "pixel noise, Section 7.1" in text
    assert "replay each Langevin step" in text
