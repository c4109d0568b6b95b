"""make_class.py: a teacher builds both zips, opens them, and a student's notebook runs from one."""

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import make_class
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
EDITIONS = ("student", "solutions")


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    out = tmp_path_factory.mktemp("class")
    command = [sys.executable, str(ROOT / "tools" / "make_class.py"), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    paths = [out / f"mcmcot-lite-{edition}.zip" for edition in EDITIONS]
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == list(map(str, paths))
    return dict(zip(EDITIONS, paths, strict=True))


@pytest.fixture(scope="module")
def opened(zips, tmp_path_factory):
    folders = {}
    for edition, path in zips.items():
        folder = tmp_path_factory.mktemp(edition)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            archive.extractall(folder)
        folders[edition] = folder / f"mcmcot-lite-{edition}"
    return folders


def cells(folder, name, kind=None):
    found = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(found)
    return [c for c in found.cells if kind in (None, c.cell_type)]


def test_a_zip_is_light_and_the_same_again(zips, tmp_path):
    for path in zips.values():
        assert path.stat().st_size < 8 * 2**20
    again = make_class.make(ROOT, tmp_path)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in zips.values()]


def test_both_have_every_chapter_and_what_it_reads(opened):
    chapters = {p.name for p in (ROOT / "notebooks").glob("*.ipynb")}
    for folder in opened.values():
        assert {p.name for p in (folder / "notebooks").glob("*.ipynb")} == chapters
        assert (folder / "data" / "mnist_5k.csv.gz").is_file()
        assert (folder / "mcmcot_lite" / "figures" / "js" / "lab.js").is_file()
        assert (folder / "results" / "paper.json").is_file()
        assert "need no network" in (folder / "README.txt").read_text()
        assert not list(folder.rglob("__pycache__"))


def test_students_get_no_solution_and_a_cell_for_each_answer(opened):
    for path in sorted((opened["solutions"] / "notebooks").glob("*.ipynb")):
        name = path.stem
        full, own = (cells(opened[e], name) for e in ("solutions", "student"))
        text = "\n".join(c.source for c in own)
        assert "Solution to" not in text, name
        assert "colab-badge" not in text, name  # it would open the notebook with solutions
        exercises = [c.source for c in own if c.cell_type == "markdown"]
        count = sum(c.count("### Exercise ") for c in exercises)
        answers = [c for c in own if c.source.endswith(": your answer")]
        assert len(answers) == count, name
        if not count:
            assert [c.source for c in own] == [c.source for c in full][1:], name
        hidden = [c.source for c in full if c.cell_type == "code" and c.source not in text]
        assert bool(hidden) == bool(count), name
    assert any("def one_step" in c.source for c in cells(opened["solutions"], "langevin"))
    assert not any("def one_step" in c.source for c in cells(opened["student"], "langevin"))


def test_solutions_are_the_books_own_notebooks(opened):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        other = (opened["solutions"] / "notebooks" / path.name).read_text(encoding="utf-8")
        assert json.loads(other) == json.loads(path.read_text(encoding="utf-8")), path.name


ONLY = """
import importlib.abc, sys

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nothing())
sys.path.insert(0, ".")
"""


def required(names):
    """Distributions that pip would install for these, as far as they are here."""
    found, todo = set(), list(names)
    while todo:
        name = re.split(r"[ ;\[<>=!~(]", todo.pop())[0].lower().replace("_", "-")
        if name not in found:
            with contextlib.suppress(metadata.PackageNotFoundError):
                todo += [r for r in metadata.requires(name) or [] if "extra ==" not in r]
                found.add(name)
    return found


def test_the_packages_of_its_readme_are_enough(opened):
    """Every import of every notebook, with all other packages of this environment hidden."""
    folder = opened["student"]
    line = re.search(r"pip install (.*)", (folder / "README.txt").read_text()).group(1)
    assert line.split() == make_class.packages()
    has = required(["pip", *line.split()])
    by_top = metadata.packages_distributions()
    names = {top: {d.lower().replace("_", "-") for d in owners} for top, owners in by_top.items()}
    blocked = {top for top, owners in names.items() if not owners & has} - {"mcmcot_lite"}
    assert {"sklearn", "mlxtend", "pytest"} <= blocked
    lines = [ONLY.format(blocked=blocked)]
    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        for cell in cells(folder, path.stem, "code"):
            tree = ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.M))
            found = (n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)))
            lines += [text for n in found if "google.colab" not in (text := ast.unparse(n))]
    lines += ["from mcmcot_lite.baselines import Glow, RealNVP",
              "RealNVP((1, 4, 4), width=4), Glow((1, 4, 4), width=4)"]  # fmt: skip
    script = folder / "imports.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
    command = [sys.executable, script.name]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)


def run_alone(path, cache):
    """The notebook executed in its folder, with no network and no clone."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MCMCOT_")}
    environment |= {"MCMCOT_CACHE": str(cache), "http_proxy": "http://127.0.0.1:9",
                    "https_proxy": "http://127.0.0.1:9", "MPLBACKEND": "Agg"}  # fmt: skip
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", path.name]
    subprocess.run(command, cwd=path.parent, env=environment, check=True, timeout=600)
    return nbformat.read(path, as_version=4)


def test_a_notebook_with_solutions_runs_from_its_folder_alone(opened, tmp_path):
    """Top to bottom; every solution's check agrees."""
    done = run_alone(opened["solutions"] / "notebooks" / "factor_analysis.ipynb", tmp_path)
    said = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert "Exercise 1.5: right" in said


def test_a_students_notebook_runs_from_its_folder_alone(opened, tmp_path):
    """Top to bottom, then the answer is filled in and checked, with no network and no clone."""
    folder = opened["student"]
    path = folder / "notebooks" / "factor_analysis.ipynb"
    book = nbformat.read(path, as_version=4)
    place = next(i for i, c in enumerate(book.cells) if c.source.startswith("# Exercise 1.5"))
    book.cells[place].source = (
        "from mcmcot_lite import check, data\nimport mcmcot_lite, torch\n"
        "def posterior(x, theta, sigma, mu):\n"
        "    eye = torch.eye(theta.shape[1], dtype=theta.dtype)\n"
        "    cov = torch.linalg.inv(theta.T @ theta / sigma**2 + eye)\n"
        "    return (x - mu) @ theta @ cov / sigma**2, cov\n"
        "check.ex_1_5(posterior)\n"
        "print(mcmcot_lite.__file__)\nprint(data.mnist5k().source)\n"
    )
    book.cells = book.cells[: place + 1]
    nbformat.write(book, path)
    done = run_alone(path, tmp_path)
    said = "".join(o.get("text", "") for o in done.cells[place].outputs)
    assert "Exercise 1.5: right" in said
    assert str(folder / "mcmcot_lite") in said
    assert "mnist_5k.csv.gz in MCMCOT_DATA" in said
