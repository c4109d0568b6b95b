"""make_figures.py: forms of an executed cell, names in the order of the book, what is missing."""

import base64

import make_figures
import mystbook
import pytest

from .conftest import MakeBook

PAGE = """\
# First

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-one
    caption: |
      A cloud of {eq}`eq-a` ({doc}`second`, {ref}`sec-b`),
      in {math}`2` lines.
  image:
    alt: dots
---
plt.plot(x)
```
"""


SECOND = "# Second\n\n(sec-b)=\n## There\n\n```{math}\n:label: eq-a\na\n```\n"


def cell(name, **data):
    about = {"mystnb": {"figure": {"name": name, "caption": "c"}}} if name else {}
    return {"cell_type": "code", "metadata": about, "outputs": [{"data": data}]}


def test_both_forms_are_taken_from_an_executed_page():
    png = base64.b64encode(b"picture").decode()
    notebook = {
        "cells": [
            cell("fig-a", **{"image/png": png, "image/svg+xml": ["<svg>", "</svg>"]}),
            cell("fig-b", **{"text/html": "<div data-lab></div>"}),
            cell(None, **{"image/png": png}),
            {"cell_type": "markdown", "metadata": {}, "source": ""},
        ]
    }
    found = make_figures.still(notebook)
    assert found == {"fig-a": {"png": b"picture", "svg": b"<svg></svg>"}}


def test_names_follow_the_book(make_book: MakeBook) -> None:

    (figure,) = make_figures.figures_of(mystbook.load(make_book(PAGE, SECOND)), "first")
    assert (figure.number, figure.stem) == ("1.1", "01-01-one")
    assert figure.caption == "A cloud of Eq. (2.1) (Second, There), in 2 lines."


def test_a_picture_file_is_a_figure_too(make_book: MakeBook) -> None:
    index = "# Welcome\n\n:::{figure} ../ring.png\n:name: fig-ring\n:alt: a ring\n\nA ring.\n:::\n"
    root = make_book("# First\n", index=index)
    with (root / "_config.yml").open("a") as config:
        config.write("title: Rings\n")
    (root / "ring.png").write_bytes(b"picture")
    (figure,) = make_figures.write(mystbook.load(root), root / "_build", root / "out")
    assert (figure.stem, figure.forms) == ("index-ring", ("png",))
    assert (root / "out" / "index-ring.png").read_bytes() == b"picture"
    assert "index-ring (png): Fig. 1, index. A ring." in (root / "out" / "README.txt").read_text()


def test_a_book_that_is_not_built_is_said(make_book: MakeBook) -> None:
    root = make_book(PAGE, SECOND)
    with pytest.raises(mystbook.BookError, match="run `make book`"):
        make_figures.write(mystbook.load(root), root / "_build", root / "out")
