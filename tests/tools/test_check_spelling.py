"""check_spelling.py finds a wrong word wherever it is read, and leaves code and names alone."""

from pathlib import Path

import check_spelling
import pytest

from .conftest import MakeBook

PAGE = """\
# {title}

A {text} word, `{code}`, $\\{code}$, and [a link](https://example.org/{code}).

```{{code-cell}} ipython3
---
mystnb:
  figure: {{name: fig-a, caption: A {caption} one.}}
  image: {{alt: It shows {alt} dots}}
---
# {comment} it is
{code} = f"{printed} {{{code}:.3f}}"
ax.set_title("{title_of_axes}")
draw(alt="Many {alt_of_call}", path="_static/{code}.png", colour="#{code}", mode="{code}_1")
```

:::{{exercise}} {exercise}
:label: ex-{code}

Why {body}?
:::
"""
GOOD = {
    "title": "Posterior",
    "text": "plain",
    "caption": "coloured",
    "alt": "many",
    "comment": "here",
    "printed": "seconds",
    "title_of_axes": "Gradient",
    "alt_of_call": "dots",
    "exercise": "Question",
    "body": "is it normal",
    "code": "xqzzk",
}


def problems(root: Path) -> list[str]:
    (root / "tools").mkdir(exist_ok=True)
    (root / "tools" / "words.txt").write_text("coloured\n")
    return list(check_spelling.check(root))


def test_a_good_page_has_no_problem(make_book: MakeBook) -> None:
    assert problems(make_book(PAGE.format(**GOOD))) == []


@pytest.mark.parametrize("place", [key for key in GOOD if key != "code"])
def test_a_wrong_word_is_found(make_book: MakeBook, place: str) -> None:
    root = make_book(PAGE.format(**GOOD | {place: "posteriro"}))
    assert problems(root) == ["book/first.md: posteriro"]


def test_the_readme_is_read_too(make_book: MakeBook) -> None:
    root = make_book(PAGE.format(**GOOD))
    (root / "README.md").write_text("A posteriro.\n\n```bash\nposteriro --x\n```\n")
    assert problems(root) == ["README.md: posteriro"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("check/one.py", 'e.hold(ok, f"the {x} posteriro is missing.")\n'),
        ("check/one.py", 'def f():\n    """Of the posteriro."""\n'),
        ("one.py", '"""Of the posteriro, :func:`posterio`."""\nx = "posteriro"\n'),
        ("one.py", 'class A:\n    """Of the posteriro.\n\n    >>> posterio(x)\n    """\n'),
    ],
)
def test_messages_and_docstrings_are_read(make_book: MakeBook, name: str, code: str) -> None:
    root = make_book(PAGE.format(**GOOD))
    (root / "mcmcot_lite" / "check").mkdir(parents=True)
    (root / "mcmcot_lite" / name).write_text(code)
    assert problems(root) == [f"mcmcot_lite/{name}: posteriro"]


def test_a_cell_for_the_shell_is_read_past(make_book: MakeBook) -> None:
    cell = "\n```{code-cell} ipython3\n%pip install xqzzk\n!ls xqzzk\n'The posteriro.'\n```\n"
    assert problems(make_book(PAGE.format(**GOOD) + cell)) == ["book/first.md: posteriro"]


def test_the_words_of_the_project_are_sorted_and_needed() -> None:
    path = Path(check_spelling.__file__).with_name("words.txt")
    own = path.read_text(encoding="utf-8").split()
    assert own == sorted(set(own), key=str.lower)
