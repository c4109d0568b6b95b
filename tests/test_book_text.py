"""The book's text keeps the rules of tools/check_text.py."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import check_text  # noqa: E402
import make_notebooks  # noqa: E402
import mystbook  # noqa: E402


def test_text_has_no_problem() -> None:
    problems = check_text.check_all(ROOT)
    assert not problems, "\n".join(["", *problems])


def test_every_page_has_a_plain_notebook() -> None:
    """Every directive and role has a plain form; staleness itself is `make notebooks-check`."""
    book = mystbook.load(ROOT)
    notebooks = make_notebooks.make(book)
    assert set(notebooks) == {f"{p.name}.ipynb" for p in book.pages.values() if p.is_notebook}


def test_one_release_number() -> None:
    """pyproject.toml, CITATION.cff, CHANGELOG.md and the tag that Colab clones agree."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"v{version}" == make_notebooks.RELEASE
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.M)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
