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


def test_syllabi_fit_their_sessions() -> None:
    """Minutes of lecture are those of the chapters; 110 leave time for exercises and talk."""
    chapters = (ROOT / "book" / "teaching_chapters.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^## \d+\. \{doc\}`(\w+)`.*?\*\*Minutes:\*\* (\d+) and", chapters, re.M | re.S
    )
    minutes = {name: int(value) for name, value in found}
    assert len(minutes) == 14
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| ([^|]+) \| (\d+) \|", text, re.M)
    assert len(rows) == 3 + 6
    for lecture, told in rows:
        assert 70 <= int(told) <= 110
        if not re.search(r"\bor\b|\bone of\b|`; \{doc", lecture):  # whole chapters
            names = re.findall(r"\{doc\}`(\w+)`", lecture)
            assert sum(minutes[name] for name in names) == int(told), lecture


def test_one_release_number() -> None:
    """pyproject.toml, CITATION.cff, CHANGELOG.md and the tag that Colab clones agree."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"v{version}" == make_notebooks.RELEASE
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.M)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
