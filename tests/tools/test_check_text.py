"""check_text.py finds each thing that it is there to find, and nothing in a good chapter."""

import re
from pathlib import Path

import check_text
import mystbook
import pytest

from .conftest import MakeBook

EXERCISE = """\
:::{{exercise}} {1} · Question
:label: ex-{0}

Why? {2}
:::

:::{{solution}} ex-{0}
:label: sol-{0}
:class: dropdown

So. {2}
:::

"""
PICTURE = ":::{figure} a.png\n:alt: A cloud\n\n"
LEVELS = ["check", "check", "explore", "explore", "code"]


def exercises(chapter: int) -> list[str]:
    """Five, of all levels."""
    calls = ["", "", "", "", f"`check.ex_{chapter}_5(f)`"]
    return [EXERCISE.format(i, LEVELS[i], calls[i]) for i in range(5)]


GOOD = (
    """\
(ch-first)=
# First

:::{admonition} Objectives and prerequisites
:class: tip

After this chapter you can

- do it.

**Prerequisites:** {doc}`index`. **Time:** 5 minutes to read; 1 minute on a CPU, 1 on a T4.
:::

## Model

Text with $x$.

```{code-cell} ipython3
---
mystnb:
  figure: {name: fig-a, caption: A cloud.}
  image: {alt: A cloud}
---
fig, ax = plt.subplots()
```

## Exercises

"""
    + "".join(exercises(1))
    + "## Summary\n\nDone.\n\n## Further reading\n\nA book.\n"
)
SECOND = GOOD.replace("ch-first", "ch-second").replace("ex-", "ex-b").replace("sol-", "sol-b")
SECOND = SECOND.replace("fig-a", "fig-b").replace("check.ex_1", "check.ex_2")


def problems(root: Path) -> list[str]:
    return list(check_text.check_book(mystbook.load(root)))


def test_a_good_chapter_has_no_problem(make_book: MakeBook) -> None:
    assert problems(make_book(GOOD, SECOND)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(ch-first)=\n", "", "needs a label"),
        (":class: tip\n", "", "admonition"),
        ("- do it.", "do it.", "the objectives are a list"),
        ("**Prerequisites:** {doc}`index`. ", "", "Prerequisites"),
        (", 1 on a T4", "", "on a T4"),
        ("## Summary", "## Sum", "the last sections"),
        ("## Model", "### Model", "heading level 3 follows level 1"),
        ("## Model", "# Model", "one `#` title"),
        ("Text with $x$.", "Text with $x.", r"odd number of \$"),
        ("Text with", "We simply", "filler: 'simply'"),
        ("Text with", "word " * 151, "words; at most 150"),
        ("- do it.", "- do it.\n- " + "word " * 151, "item of a list has 151 words"),
        ("- do it.", "1. do it.\n2. " + "word " * 151, "item of a list has 151 words"),
        ("caption: A cloud.", "caption: " + "word " * 151, "caption has 151 words"),
        ("Text with", PICTURE + "word " * 151 + "\n:::\n\n", "has 151 words"),
        ("Text with", PICTURE + ":::\n\n", "needs a caption"),
        ("Text with", "<h5>Text</h5>", "a heading in HTML"),
        ("Text with", "[a](nowhere.md)", "no file 'nowhere.md'"),
        ("Text with", "[a](#nowhere)", "no label 'nowhere'"),
        ("Text with", "{repo}`nowhere.py`", "no file nowhere.py"),
        ("Text with", "{repo}`f <_toc.yml::f>`", "_toc.yml defines no f"),
        ("fig, ax = plt.subplots()", "x = 1\n" * 25 + "plt.figure()", "26 lines; at most 25"),
        ("fig, ax = plt.subplots()", "x = '" + "a" * 90 + "'", "columns; at most 88"),
        ("  image: {alt: A cloud}\n", "", "image: alt"),
        ("{alt: A cloud}", "\n    A cloud\n    of dots", "mystnb: image holds a text"),
        ("{alt: A cloud}", "\n    A cloud\n    of dots", "image: alt"),
        ("name: fig-a, ", "", "figure: name"),
        ("caption: A cloud.", "", "figure: caption"),
        ("fig, ax = plt.subplots()", "go.Figure()", ""),
        (":label: sol-1\n:class: dropdown\n", ":label: sol-1\n", "folded"),
        ("solution} ex-1", "solution} ex-0", "2 solutions, not 1"),
        (exercises(1)[2], "", "at least 5 exercises"),
        ("code · Question", "check · Question", "no exercise of the level 'code'"),
        ("code · Question", "hard · Question", "begins with a level"),
        ("So. `check.ex_1_5(f)`", "So.", "call check.ex_1_5"),
    ],
)
def test_each_problem_is_found(make_book: MakeBook, old: str, new: str, message: str) -> None:
    assert old in GOOD
    found = problems(make_book(GOOD.replace(old, new, 1), SECOND))
    if message:
        assert any(re.search(message, line) for line in found), found
        assert all(line.startswith("book/first.md:") for line in found)
    else:
        assert found == []


def test_plotly_figure_needs_a_caption(make_book: MakeBook) -> None:
    cell = "```{code-cell} ipython3\nfig = go.Figure()\nfig\n```\n\n## Exercises"
    found = problems(make_book(GOOD.replace("## Exercises", cell, 1), SECOND))
    assert [line.split(": ", 1)[1] for line in found] == [
        "a figure needs mystnb: figure: name",
        "a figure needs mystnb: figure: caption",
    ]


def test_machine_paths_are_found(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    folder = "/".join(["", "home", "someone", ""])
    (tmp_path / "book" / "a.md").write_text(f"fine\nsee {folder}x\n")
    (tmp_path / "book" / "b.md").write_text("https://example.org/home/someone/x and ./home/y\n")
    (line,) = check_text.check_host_paths(tmp_path)
    assert line.startswith("book/a.md:2")


def test_readme_is_short_and_its_links_hold(tmp_path: Path) -> None:
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("Text.\n")
    (tmp_path / "README.md").write_text("[a](b.md)\n" + "line\n" * 100)
    assert list(check_text.check_readme(tmp_path)) == [
        "README.md:1: 101 lines; at most 100",
        "README.md:1: no file 'b.md'",
    ]


def test_a_page_beside_the_chapters_says_how_long_it_takes(make_book: MakeBook) -> None:
    root = make_book("# First\n")
    file = root / "book" / "end.md"
    head = (root / "book" / "first.md").read_text().partition("# First")[0]
    told = "**Time:** 5 minutes to read; runs in seconds on a CPU, the same on a T4."
    for text, said in (("Text.", True), (told, False)):
        file.write_text(f"{head}(ch-end)=\n# End\n\n{text}\n")
        page = mystbook.load(root).pages["end"]
        problems = [problem for _, problem in check_text.check_page(mystbook.load(root), page)]
        assert any("**Time:**" in problem for problem in problems) == said


def test_options_that_cannot_be_read_are_told(make_book: MakeBook) -> None:
    root = make_book(GOOD.replace("{alt: A cloud}", "\n    A cloud\n    left: dots"), SECOND)
    (problem,) = check_text.check_all(root)
    assert re.match(r"first.md: line \d+: the options cannot be read: ", problem)


def test_a_picture_of_the_first_page_needs_a_caption(make_book: MakeBook) -> None:
    root = make_book(GOOD, SECOND, f"# Welcome\n\n{PICTURE}:::\n")
    (problem,) = problems(root)
    assert problem.startswith("book/index.md:3: a picture needs a caption")
