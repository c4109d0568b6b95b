"""Paths that people walk with the repository: a wheel for the library, the notebook on Colab."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
import torch
from make_notebooks import RELEASE
from nbclient import NotebookClient

from mcmcot_lite import data

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/mcmcot-lite/mcmcot-lite"
# No address outside answers: nothing may be fetched, however the machine is connected.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
PIP = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
USE = """
import torch, mcmcot_lite
from mcmcot_lite import MLP, Settings, features, figures, fit
print(mcmcot_lite.__file__, mcmcot_lite.__version__)
rng = torch.Generator().manual_seed(0)
st = Settings(d=2, K=2, L=1, iterations=2, batch_size=8)
found = fit(MLP(2, rng=rng), torch.rand(16, 1, 28, 28), st, rng=rng, progress=False)
cells = figures.explore_cells(torch.rand(6, 2), torch.rand(6, 2), alt="cells")
print(tuple(found.z.shape), "<script" in cells._repr_html_())
print(tuple(features.digit_features(torch.rand(4, 1, 28, 28)).shape))
"""
# What makes a machine Colab, as far as the first cell looks. The library is not there yet; the last
# line makes pip install it where this test says, not into the environment that runs it.
COLAB = """
import importlib.util, sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "mcmcot_lite" else found(name, *more)
"""
# The mirrors of a data set are the test's own server, which has 1,000 digits in place of clothes.
AFTER = """
importlib.util.find_spec = found
import dataclasses, mcmcot_lite
from mcmcot_lite.data._sources import SOURCES
clothes = SOURCES["fashion_mnist"]
files = tuple(
    dataclasses.replace(remote, urls=(f"{SERVER}/{remote.name}",), md5=MD5[remote.name], content="")
    for remote in clothes.files["train"]
)
SOURCES["fashion_mnist"] = dataclasses.replace(
    clothes, files={"train": files}, counts={"train": 1000}
)
print("library:", mcmcot_lite.__file__, "folder:", os.getcwd())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of this checkout that a clone would have."""
    away = shutil.ignore_patterns(
        ".git", ".venv", "_build", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "build"
    )
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=away))


def test_a_wheel_has_all_that_the_library_needs(copy: Path, tmp_path: Path) -> None:
    """Built, installed alone into an empty folder, and used from elsewhere."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "-q"]
    env = {**os.environ, **PIP, **NO_NETWORK}
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, copy], check=True, env=env)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True, env=env)
    env["PYTHONPATH"] = str(site)
    command = [sys.executable, "-c", USE]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    place = site / "mcmcot_lite" / "__init__.py"
    version = wheel.name.split("-")[1]
    assert done.stdout.splitlines() == [f"{place} {version}", "(16, 2) True", "(4, 64)"]
    assert (site / "mcmcot_lite" / "py.typed").is_file()
    assert not (site / "tests").exists()
    command = [sys.executable, "-m", "mcmcot_lite", "--help"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server's address, and the MD5 of its two files: fours and nines as classes 0 and 1."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    digits = data.mnist5k().classes(4, 9)
    headed = {
        "train-images-idx3-ubyte.gz": struct.pack(">4i", 2051, len(digits), 28, 28)
        + digits.x.numpy().tobytes(),
        "train-labels-idx1-ubyte.gz": struct.pack(">2i", 2049, len(digits))
        + (digits.y == 9).to(torch.uint8).numpy().tobytes(),
    }
    for name, content in headed.items():
        (folder / name).write_bytes(gzip.compress(content))
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in headed}
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", sums
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("tagged", [True, False], ids=["release", "latest"])
def test_a_notebook_on_colab(
    tagged: bool,
    copy: Path,
    tmp_path: Path,
    mirror: tuple[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Top to bottom on a machine that looks like Colab: the first cell clones the release, installs
    the library without dependencies, and goes to the notebooks; one data set is downloaded from a
    server of this machine, and nothing else comes from outside.
    """
    git = ["git", "-C", str(copy), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    tag = [["tag", RELEASE]] if tagged else []
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], *tag):
        subprocess.run([*git, *words], check=True)
    site = tmp_path / "site"
    site.mkdir()
    settings = {
        **PIP,
        **NO_NETWORK,
        "no_proxy": "127.0.0.1",
        "PIP_TARGET": str(site),
        "PYTHONPATH": str(site),
        "MCMCOT_CACHE": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{copy}.insteadOf",
        "GIT_CONFIG_VALUE_0": REPOSITORY,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MCMCOT_DATA", raising=False)
    # The long one downloads; that a clone is had without a tag, the short one shows as well.
    name = "algorithm1" if tagged else "factor_analysis"
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    badge, setup = notebook.cells[:2]
    assert "Open in Colab" in badge.source
    assert "/content/" in setup.source
    setup.source = setup.source.replace("/content/", f"{tmp_path}/content/")
    address, sums = mirror
    after = f"SERVER, MD5 = {address!r}, {sums!r}\n{AFTER}"
    notebook.cells[1:2] = [
        nbformat.v4.new_code_cell(COLAB), setup, nbformat.v4.new_code_cell(after),
    ]  # fmt: skip
    (tmp_path / "content").mkdir()
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = "".join(out["text"] for out in notebook.cells[3].outputs)
    folder = tmp_path / "content" / "mcmcot-lite"
    place = folder / "mcmcot_lite" / "__init__.py"
    assert told == f"library: {place} folder: {folder / 'notebooks'}\n"
    if tagged:
        printed = [
            out.get("text", "") for cell in notebook.cells[4:] for out in cell.get("outputs", [])
        ]
        assert any("fashion_mnist: T-shirts and trousers" in text for text in printed)
        kept = {path.name for path in (tmp_path / "cache").rglob("*.gz")}
        assert kept == set(sums)


def test_colabs_job_installs_what_the_first_cells_would() -> None:
    """tools/colab.sh has the packages that any notebook adds to Colab's, without dependencies."""
    wanted: set[str] = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        setup = nbformat.read(path, as_version=4).cells[1].source
        for names in re.findall(r"wanted = \{(.*)\}", setup):
            wanted |= set(re.findall(r': "([\w-]+)"', names))
    script = (ROOT / "tools" / "colab.sh").read_text(encoding="utf-8")
    (installed,) = re.findall(r"install --no-deps (.*) \.\n", script)
    assert wanted == set(installed.split()) >= {"pot", "mlxtend", "normflows"}
