"""sample, reconstruct and evaluate read a run and leave its files alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cli.runs import last, train, words
from PIL import Image
from scipy.io import savemat

from mcmcot_lite import data, fills, masks
from mcmcot_lite.checkpoint import Checkpoints
from mcmcot_lite.cli import complete, main, read
from mcmcot_lite.lock import locked
from mcmcot_lite.metrics import mse


@pytest.fixture
def run(tmp_path, capsys):
    train(tmp_path / "run")
    capsys.readouterr()
    return tmp_path / "run"


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def size(path):
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        return picture.size


@pytest.mark.parametrize("command", ["sample", "reconstruct", "inpaint", "evaluate"])
def test_a_record_of_another_network_is_refused_in_one_line(command, run, capsys):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"width": 0.03}))
    assert main([command, str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: DIR must hold checkpoints of the network in its run.json")
    assert said.count("\n") == 1


def test_data_that_are_not_there_are_not_looked_for_elsewhere(run, capsys):
    assert main(["evaluate", str(run), "--data", str(run / "none")]) == 2
    assert "data must be a folder or file that is there" in capsys.readouterr().err


def test_sample(run, tmp_path, capsys):
    before = files(run)
    assert main(["sample", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'samples.png'}\n"
    assert size(run / "samples.png") >= (512, 512)
    first = (run / "samples.png").read_bytes()
    for seed, same in (("0", True), ("1", False)):
        to = tmp_path / "other.png"
        assert main(["sample", str(run), "--seed", seed, "--to", str(to)]) == 0
        assert (to.read_bytes() == first) is same
    assert main(["sample", str(run), "--n", "5", "--to", str(tmp_path / "five.png")]) == 0
    assert files(run) == before | {"samples.png": first}


@pytest.mark.parametrize("reading", ["running", "batch"])
def test_reconstruct(reading, tmp_path, capsys):
    run = tmp_path / "run"
    train(run, batchnorm=reading)
    before = files(run)
    capsys.readouterr()
    assert main(["reconstruct", str(run), "--n", "6"]) == 0
    path, said = capsys.readouterr().out.splitlines()
    assert path == str(run / "reconstructions.png")
    assert said.startswith("mse 0.")
    assert "after 3 iterations" in said
    assert size(path) >= (512, 512)
    assert {k: v for k, v in files(run).items() if k != "reconstructions.png"} == before


def test_inpaint(run, tmp_path, capsys):
    before = files(run)
    words = ["inpaint", str(run), "--n", "3", "--K", "5", "--s", "0.05"]
    assert main([*words, "--completions", "2"]) == 0
    path, told, numbers = capsys.readouterr().out.splitlines()
    assert path == str(run / "inpainted.png")
    assert told == "3 images (new to the run), mask square 32, 5 steps of 0.05"
    assert numbers.startswith("mse of hidden pixels 0.")
    wide, high = size(path)
    assert wide * 3 == pytest.approx(high * 5, rel=0.02)  # whole, shown, two, their mean
    first = (run / "inpainted.png").read_bytes()
    assert {k: v for k, v in files(run).items() if k != "inpainted.png"} == before
    to = tmp_path / "other.png"
    assert main([*words, "--completions", "2", "--to", str(to)]) == 0
    assert to.read_bytes() == first
    assert main([*words, "--mask", "salt 90", "--completions", "1", "--to", str(to)]) == 0
    assert "diversity" not in capsys.readouterr().out.splitlines()[-1]


def test_inpaint_pictures_of_yours(run, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for k in range(3):
        Image.new("L", (50, 40), 80 * k).save(folder / f"{k}.png")
    words = ["inpaint", str(run), "--images", str(folder), "--K", "2"]
    assert main([*words, "--n", "3"]) == 0
    assert "3 images (of mine)" in capsys.readouterr().out
    assert main(words) == 0
    assert "3 images (of mine)" in capsys.readouterr().out
    assert main([*words, "--n", "4"]) == 2
    assert "n must be at most 3, all there are; got 4" in capsys.readouterr().err


def test_inpaint_holds_new_images_against_those_of_the_run(run, capsys, monkeypatch):
    real = complete.images_of

    def reversed_images(preset, args):
        found = real(preset, args)
        return replace(found, x=found.x.flip(0))

    monkeypatch.setattr(complete, "images_of", reversed_images)
    assert main(["inpaint", str(run), "--n", "3", "--K", "2"]) == 2
    assert "data must hold the images of this run" in capsys.readouterr().err
    pictures = sorted(p.name for p in run.glob("*.png"))
    assert pictures == []


def test_inpaint_beyond_the_images_there_are(run, capsys):
    whole = len(data.load(json.loads((run / "run.json").read_text())["dataset"]))
    assert main(["inpaint", str(run), "--n", str(whole - 39), "--K", "2"]) == 2
    rule = f"n must be at most {whole - 40}: the run was trained on 40 of {whole} images"
    assert rule in capsys.readouterr().err


def test_inpaint_takes_the_mean_image_of_the_run(run, capsys):
    assert main(["inpaint", str(run), "--n", "3", "--K", "2", "--mask", "square 32"]) == 0
    said = capsys.readouterr().out
    record = json.loads((run / "run.json").read_text())
    x = data.load(record["dataset"]).images()
    mask = masks.of_paper("square 32", 3, x.shape[1:], rng=torch.Generator().manual_seed(0))
    filled = fills.fill_mean(x[40:43], mask, x[:40])
    assert f"mean image {mse(x[40:43], filled, ~mask):.6f}" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--mask", "circle"], "mask must be one of 'two patches'"),
        (["--completions", "0"], "completions must be at least 1"),
        (["--K", "-1"], "K must be at least 0"),
        (["--s", "2"], "s must lie in"),
        (["--s", "long"], "s must be a number"),
        (["--n", "all"], "n must be a whole number"),
        (["--to", "x.jpg"], "to must name a file that ends in .png"),
        (["--images", "nowhere"], "must be a folder or a zip of images"),
    ],
)
def test_inpaint_refuses(words, says, run, capsys):
    assert main(["inpaint", str(run), *words]) == 2
    assert says in capsys.readouterr().err


def test_evaluate(run, tmp_path, capsys):
    before = files(run)
    assert main(["evaluate", str(run), "--judge", "0"]) == 0
    out = capsys.readouterr().out
    found = json.loads((run / "evaluate.json").read_text())
    assert found["images"] == 40
    assert f"mse {found['mse']:.6f} on 40 images after 0 steps" in out
    z = last(run)["z_hat"]
    assert found["latent_mean"] == pytest.approx(float(z.mean(0).norm()), rel=1e-5)
    assert found["distance_to_prior"].keys() == {"value", "stderr", "floor", "n"}
    assert found["settings"]["K"] == 2
    assert {"device", "versions", "seed", "seconds", "date"} <= found.keys()
    to = tmp_path / "e.json"
    assert main(["evaluate", str(run), "--n", "9", "--json", str(to)]) == 0
    other = json.loads(to.read_text())
    assert (other["images"], other["judge"]) == (9, 2)
    assert {k: v for k, v in files(run).items() if k != "evaluate.json"} == before


def test_more_images_than_the_run_has(run, capsys):
    for command in ("reconstruct", "evaluate"):
        assert main([command, str(run), "--n", "41"]) == 2
        assert "n must be at most 40 here; got 41" in capsys.readouterr().err


def test_a_run_in_progress_can_be_read(run):
    with locked(run / "train.lock"), locked(run / "lock"):
        for command in ("sample", "reconstruct", "evaluate"):
            assert main([command, str(run)]) == 0


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_read(run, capsys):
    newest = Checkpoints(run).files()[0]
    newest.write_bytes(b"")
    with pytest.warns(UserWarning, match=newest.name):
        assert read._newest(Checkpoints(run)) is not None
    assert main(["sample", str(run)]) == 0
    assert f"warning: {newest}" in capsys.readouterr().err
    for path in Checkpoints(run).files():
        path.write_bytes(b"")
    for command in (["sample", str(run)], words(run)):
        capsys.readouterr()
        assert main(command) == 2
        err = capsys.readouterr().err
        assert "only damaged ones" in err
        assert err.count("\n") == 1


def test_a_checkpoint_that_is_replaced_while_it_is_read(run, monkeypatch):
    real, times = Checkpoints.load, []

    def load(self):
        times.append(1)
        if len(times) == 1:  # as if the run had written two more meanwhile
            data = real(self)[0]
            self.save(data)
            raise ValueError("only damaged ones")
        return real(self)

    monkeypatch.setattr(Checkpoints, "load", load)
    assert torch.is_tensor(read._newest(Checkpoints(run))["z_hat"])
    assert len(times) == 2


def test_other_images_than_those_of_the_run_are_refused(tmp_path, monkeypatch, capsys):
    """Chains belong to images: others, of the same shape and number, would be paired in silence."""
    out = tmp_path / "a"
    train(out)
    assert main(["evaluate", str(out), "--device", "cpu"]) == 0
    stored = (out / "evaluate.json").read_bytes()
    other = tmp_path / "others"
    other.mkdir()
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (32, 32, 3, 60), dtype=np.uint8)
    savemat(other / "train_32x32.mat", {"X": x, "y": rng.integers(1, 11, (60, 1), dtype=np.uint8)})
    monkeypatch.setenv("MCMCOT_DATA", str(other))
    for command in ("evaluate", "reconstruct"):
        capsys.readouterr()
        assert main([command, str(out), "--device", "cpu"]) == 2
        said = capsys.readouterr().err.strip()
        assert "data must hold the images of this run" in said
        assert len(said.splitlines()) == 1
    assert (out / "evaluate.json").read_bytes() == stored
    assert main(["sample", str(out), "--device", "cpu"]) == 0  # needs no image


@pytest.mark.parametrize("name", ["run.json", "log.jsonl", "checkpoint"])
def test_numbers_are_never_written_over_the_run(name, tmp_path, capsys):
    out = tmp_path / "a"
    train(out)
    path = Checkpoints(out).files()[0] if name == "checkpoint" else out / name
    before = path.read_bytes()
    assert main(["evaluate", str(out), "--device", "cpu", "--json", str(path)]) == 2
    assert "json must not be a file of the run itself" in capsys.readouterr().err
    assert path.read_bytes() == before
