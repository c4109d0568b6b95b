"""Whatever is asked for wrongly ends in one line on stderr and exit code 2, before any work."""

from __future__ import annotations

import json

import pytest
from cli.runs import start, train, words

from mcmcot_lite.cli import main

TRAIN = ["train", "svhn-quick", "--n", "40", "--width", "0.02", "--no-progress", "--out", "OUT"]

BAD = {
    "nothing": ([], "required: {train,sample"),
    "command": (["trian"], "invalid choice: 'trian'"),
    "no preset": (["train", "--out", "OUT"], "preset must be named"),
    "preset": (["train", "mnits", "--out", "OUT"], "preset must be one of mnist"),
    "size": (["train", "mnist-huge", "--out", "OUT"], "got 'mnist-huge'"),
    "two sizes": (["train", "mnist-t4", "--size", "paper", "--out", "OUT"], "given once"),
    "--size": (["train", "mnist", "--size", "big", "--out", "OUT"], "size must be one of"),
    "reading": (["train", "mnist", "--reading", "mine", "--out", "OUT"], "reading must be one of"),
    "reading of a folder": (["train", "--reading", "printed", "--out", "OUT"], "reading goes with"),
    "three words": (["train", "mnist", "t4", "now", "--out", "OUT"], "got 'mnist t4 now'"),
    "no out": (["train", "mnist"], "required: --out"),
    "empty out": (["train", "mnist", "--out", ""], "DIR must not be empty"),
    "out is a file": (["train", "mnist", "--out", "FILE"], "DIR must be a folder"),
    "out below a file": ([*TRAIN[:-1], "FILE/below"], "DIR must be a folder that you may write"),
    "unknown": ([*TRAIN, "--nonsense", "3"], "unrecognized arguments: --nonsense 3"),
    "unknown to inpaint": (["inpaint", "OUT", "--foo"], "--foo. See python -m mcmcot_lite inpaint"),
    "inpaint s word": (["inpaint", "OUT", "--s", "x"], "got 'x'. For example --s 0.1."),
    "abbreviated": ([*TRAIN, "--iter", "3"], "unrecognized arguments: --iter 3"),
    "no value": ([*TRAIN, "--K"], "--K: expected one argument"),
    "K word": ([*TRAIN, "--K", "many"], "K must be a whole number; got 'many'"),
    "K half": ([*TRAIN, "--K", "2.5"], "K must be a whole number; got '2.5'"),
    "K none": ([*TRAIN, "--K", "none"], "K must be a whole number"),
    "K negative": ([*TRAIN, "--K", "-1"], "K must be at least 0; got -1"),
    "batch": ([*TRAIN, "--batch-size", "0"], "batch_size must be at least 1"),
    "s": ([*TRAIN, "--s", "5"], "s must"),
    "sigma": ([*TRAIN, "--sigma", "0"], "sigma must"),
    "alpha": ([*TRAIN, "--alpha", "1.5"], "alpha must"),
    "lr": ([*TRAIN, "--lr", "nan"], "lr must"),
    "lr word": ([*TRAIN, "--lr", "fast"], "lr must be a number; got 'fast'"),
    "one beta": ([*TRAIN, "--betas", "0.5"], "betas must be two numbers"),
    "betas": ([*TRAIN, "--betas", "0.5", "1"], "betas must"),
    "range": ([*TRAIN, "--x-range", "1", "0"], "x_range must"),
    "schedule": ([*TRAIN, "--schedule", "mine"], "schedule must be one of"),
    "regression": ([*TRAIN, "--schedule", "printed"], "regression belongs to"),
    "transport": ([*TRAIN, "--transport", "magic"], "transport must be one of"),
    "batchnorm": ([*TRAIN, "--batchnorm", "off"], "batchnorm must be one of"),
    "precision": ([*TRAIN, "--precision", "fp8"], "precision must be one of"),
    "chunk": ([*TRAIN, "--chunk", "0"], "chunk must be at least 1"),
    "n": ([*TRAIN, "--n", "0"], "n must be at least 1"),
    "n too large": ([*TRAIN, "--n", "61"], "n must be at most 60"),
    "one image": ([*TRAIN, "--n", "1"], "batch_size must leave 2 images"),
    "width": ([*TRAIN, "--width", "0"], "width must be greater than 0"),
    "generator": ([*TRAIN, "--generator", "gan"], "generator must be one of"),
    "other shape": ([*TRAIN, "--generator", "celeba"], "generator must draw images of their size"),
    "other data": ([*TRAIN, "--dataset", "mnist5k"], "got 'svhn' for images of mnist5k. Use mnist"),
    "too wide": ([*TRAIN, "--width", "1e9"], "width must be at most 1000"),
    "batch of one": ([*TRAIN, "--batch-size", "1"], "batch_size must leave 2 images"),
    "seed": ([*TRAIN, "--seed", "-1"], "seed must be at least 0"),
    "seed too large": ([*TRAIN, "--seed", "9" * 30], "seed must be at most"),
    "device": ([*TRAIN, "--device", "tpu"], "device must be one of"),
    "every": ([*TRAIN, "--every", "-1"], "every must"),
    "every nan": ([*TRAIN, "--every", "nan"], "every must be at least 0 and finite"),
    "every word": ([*TRAIN, "--every", "often"], "every must be a number; got 'often'"),
    "skip broken": ([*TRAIN, "--skip-broken"], "skip_broken belongs to celeba"),
    "no such data": ([*TRAIN, "--data", "nowhere"], "data must be a folder or file that is there"),
    "data is a file": ([*TRAIN, "--data", "FILE"], "root must be a folder"),
    "sample nothing": (["sample"], "required: DIR"),
    "sample nowhere": (["sample", "OUT"], "DIR must hold a run"),
    "sample empty": (["sample", "EMPTY"], "DIR must hold a run"),
    "reconstruct empty": (["reconstruct", "EMPTY"], "DIR must hold a run"),
    "evaluate empty": (["evaluate", "EMPTY"], "DIR must hold a run"),
    "sample n": (["sample", "EMPTY", "--n", "0"], "n must be at least 1"),
    "sample n word": (["sample", "EMPTY", "--n", "x"], "n must be a whole number; got 'x'"),
    "sample to": (["sample", "EMPTY", "--to", "a.jpg"], "to must name a file that ends in .png"),
    "judge": (["evaluate", "EMPTY", "--judge", "-1"], "judge must be at least 0"),
    "evaluate seed": (["evaluate", "EMPTY", "--seed", "-2"], "seed must be at least 0"),
}


@pytest.fixture
def places(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    found = {"OUT": "out", "FILE": "file", "EMPTY": "empty"}

    def placed(words):
        for name, real in found.items():
            words = [w.replace(name, str(tmp_path / real)) for w in words]
        return words

    return placed


@pytest.mark.parametrize(("words", "text"), BAD.values(), ids=BAD.keys())
def test_one_line_and_2(words, text, places, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(places(words)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert text in err
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left


def test_a_data_set_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MCMCOT_DATA")
    assert main([*words(tmp_path / "a"), "--no-download"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for text in ("svhn (train) was not found in", "train_32x32.mat", "Downloading is off"):
        assert text in err
    assert not (tmp_path / "a").exists()


def test_a_real_process_says_one_line(tmp_path):
    process = start(["train", "mnits", "--out", str(tmp_path / "a")])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "Traceback" not in err


def test_run_json_that_is_none(tmp_path, capsys):
    train(tmp_path / "a")
    for text in ("", "[]", "{}", '{"settings": 3}'):
        (tmp_path / "a" / "run.json").write_text(text)
        capsys.readouterr()
        for command in (["sample", str(tmp_path / "a")], words(tmp_path / "a")):
            assert main(command) == 2
            err = capsys.readouterr().err
            assert "must describe a run" in err
            assert err.count("\n") == 1
    (tmp_path / "a" / "run.json").unlink()
    assert main(words(tmp_path / "a")) == 2
    assert "checkpoints and no run.json" in capsys.readouterr().err


def test_a_defect_is_not_hidden(tmp_path, monkeypatch):
    from mcmcot_lite.cli import app

    def broken(*_):
        raise TypeError("a defect")

    monkeypatch.setattr(app, "train", broken)
    with pytest.raises(TypeError, match="a defect"):
        main(words(tmp_path / "a"))


@pytest.mark.parametrize("name", ["images", "date", "seed", "settings"])
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_run_json_without_an_entry(name, command, tmp_path, capsys):
    train(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    record = json.loads(path.read_text())
    del record[name]
    path.write_text(json.dumps(record))
    capsys.readouterr()
    asked = words(tmp_path / "a", iterations=4)
    assert main(asked if command == "train" else ["evaluate", str(tmp_path / "a")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert "must describe a run" in said
