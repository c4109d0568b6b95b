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
{code} = 1
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


def test_the_words_of_the_project_are_sorted_and_needed() -> None:
    path = Path(check_spelling.__file__).with_name("words.txt")
    own = path.read_text(encoding="utf-8").split()
    assert own == sorted(set(own), key=str.lower)
