"""make_notebooks.py: every form of the book's Markdown, numbers, staleness, and no leaks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import make_notebooks
import mystbook
import nbformat
import pytest
from check_text import CELL_LINES

import mcmcot_lite

from .conftest import MakeBook

SECOND = """\
(ch-second)=
# Second page

```{math}
:label: eq-second
a = b
```
"""


def notebook(root: Path, name: str = "first") -> Any:
    return json.loads(make_notebooks.make(mystbook.load(root))[f"{name}.ipynb"])


def markdown(root: Path, name: str = "first") -> str:
    """All Markdown of a notebook after its badge."""
    cells = [c for c in notebook(root, name)["cells"] if c["cell_type"] == "markdown"]
    return "\n\n".join("".join(c["source"]) for c in cells[1:])


def code(root: Path) -> list[Any]:
    """The code cells after the setup cell."""
    return [c for c in notebook(root)["cells"] if c["cell_type"] == "code"][1:]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("{eq}`eq-second`", "[(2.1)](second.ipynb)"),
        ("{doc}`second`", "[Second page](second.ipynb)"),
        ("{doc}`this one <second>`", "[this one](second.ipynb)"),
        ("{ref}`ch-second`", "[Second page](second.ipynb)"),
        ("{ref}`there <ch-second>`", "[there](second.ipynb)"),
        ("{ref}`ch-end`", "[End](https://github.com/someone/small-book/blob/trunk/book/end.md)"),
        ("{cite:t}`an2021`", "An et al. (2021)"),
        ("{cite:p}`an2021,peyre2019`", "(An et al., 2021; Peyré and Cuturi, 2019)"),
        ("{math}`a_1`", "$a_1$"),
        ("{kbd}`Enter`", "<kbd>Enter</kbd>"),
        ("[words](second.md)", "[words](second.ipynb)"),
        ("[words](#ch-second)", "[words](second.ipynb)"),
        ("[words](https://example.org/a)", "[words](https://example.org/a)"),
        ("`{eq}` and `` {doc}`x` `` stay", "`{eq}` and `` {doc}`x` `` stay"),
        (r"$\{x\}$ costs \$5", r"$\{x\}$ costs \$5"),
        (
            "{repo}`_config.yml`",
            "[`_config.yml`](https://github.com/someone/small-book/blob/trunk/_config.yml)",
        ),
    ],
)
def test_inline_forms(make_book: MakeBook, source: str, plain: str) -> None:
    text = markdown(make_book(f"# First\n\n{source}\n", SECOND))
    assert text.split("\n\n## References")[0] == f"# First\n\n{plain}"


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("```{math}\n:label: eq-x\nx = y\n```", "$$\nx = y \\tag{1.1}\n$$"),
        ("```{math}\nx = y\n```", "$$\nx = y\n$$"),
        (":::{note}\nText.\n:::", "> **Note**\n>\n> Text."),
        (
            "::::{admonition} Title\n:class: tip\n\n:::{note}\nIn.\n:::\n::::",
            "> **Title**\n>\n> > **Note**\n> >\n> > In.",
        ),
        (
            ":::{prf:algorithm} Ascent\n:label: alg-x\n\n1. Go.\n:::",
            "**Algorithm 1.1** (Ascent)\n\n1. Go.",
        ),
        (
            (
                ":::{exercise} Mean\n:label: ex-x\n\nShow it.\n:::\n\n"
                ":::{solution} ex-x\n:label: sol-x\n:class: dropdown\n\nThus.\n:::"
            ),
            (
                "### Exercise 1.1: Mean\n\nShow it.\n\n<details>\n"
                "<summary><b>Solution to Exercise 1.1</b></summary>\n\nThus.\n\n</details>"
            ),
        ),
        (
            ":::{dropdown} More *here*\nText.\n:::",
            "<details>\n<summary><b>More here</b></summary>\n\nText.\n\n</details>",
        ),
        (
            "::::{tab-set}\n:::{tab-item} A\nText.\n:::\n::::",
            "**A**\n\nText.",
        ),
        (
            "```{glossary}\nposterior\n  What is known of $z$.\n```\n\nA {term}`posterior`.",
            "- **posterior**: What is known of $z$.\n\nA *posterior*.",
        ),
        (
            ":::{table} Costs\n:name: tab-x\n\n| a |\n|---|\n| 1 |\n:::\n\nSee {numref}`tab-x`.",
            "**Table 1.1** Costs\n\n| a |\n|---|\n| 1 |\n\nSee Table 1.1.",
        ),
        (
            "```{list-table}\n:header-rows: 1\n* - a\n  - b\n* - 1\n  - {math}`x`\n```",
            "| a | b |\n| --- | --- |\n| 1 | $x$ |",
        ),
        ("```python\n# {eq}`no` $\n```", "```python\n# {eq}`no` $\n```"),
        ("```{code-block} bash\nls\n```", "```bash\nls\n```"),
        ("1. Go:\n\n   ```{math}\n   x\n   ```", "1. Go:\n\n   $$\n   x\n   $$"),
        ("% a comment\nText.", "Text."),
        ("```{index} word\n```\nText.", "Text."),
    ],
)
def test_blocks(make_book: MakeBook, source: str, plain: str) -> None:
    assert markdown(make_book(f"# First\n\n{source}\n")) == f"# First\n\n{plain}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{unknown}`x`", "unknown"),
        ("```{unknown}\nx\n```", "unknown"),
        ("{eq}`nowhere`", "nowhere"),
        ("{doc}`nowhere`", "nowhere"),
        ("{term}`nowhere`", "nowhere"),
        ("{cite:t}`nowhere`", "nowhere"),
        ("{repo}`nowhere.py`", "nowhere"),
        ("![picture](x.png)", "figure directive"),
        ("{{ substitution }}", "raw MyST"),
        (":::{note}\nnever closed", "not closed"),
        ("```{code-cell}\n:tags: [nbval-check-output]\nprint(1)\n```", "expected"),
        ("(a)=\n## A\n\n(a)=\n## B", "used twice"),
    ],
)
def test_nothing_raw_gets_through(make_book: MakeBook, source: str, message: str) -> None:
    root = make_book(f"# First\n\n{source}\n")
    with pytest.raises(mystbook.BookError, match=message):
        make_notebooks.make(mystbook.load(root))


def test_figure_cell(make_book: MakeBook) -> None:
    source = (
        "# First\n\nSee {numref}`fig-x`.\n\n```{code-cell} ipython3\n---\nmystnb:\n  figure:\n"
        "    name: fig-x\n    caption: The cloud $z$.\n  image:\n    alt: A cloud\n---\n"
        "plot()\n```\n"
    )
    root = make_book(source)
    assert markdown(root) == "# First\n\nSee Fig. 1.1.\n\n**Fig. 1.1** The cloud $z$."
    assert code(root)[0]["source"] == ["plot()"]


def test_picture_file_becomes_a_code_cell(make_book: MakeBook) -> None:
    root = make_book(
        "# First\n\n```{figure} ../pic.png\n:name: fig-x\n:alt: A dot\n\nA dot.\n```\n"
    )
    (root / "pic.png").write_bytes(b"")
    assert "pic.png" in "".join(code(root)[0]["source"])
    assert "**Fig. 1.1** A dot.\n\n*Picture: A dot*" in markdown(root)


def test_tags_and_expected_output(make_book: MakeBook) -> None:
    source = """\
# First

```{code-cell}
:tags: [remove-cell]
hidden = 1
```

```{code-cell}
:tags: [remove-cell, keep-in-notebook]
kept = 1
```

```{code-cell}
:tags: [skip-execution]
train_for_hours()
```

```{code-cell}
---
tags: [nbval-check-output]
expected: |
  2
---
print(1 + 1)
```
"""
    kept, skipped, checked = code(make_book(source))
    assert kept["source"] == ["kept = 1"]
    assert kept["metadata"] == {}
    assert skipped["metadata"]["tags"] == ["skip-execution", "nbval-skip"]
    assert checked["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["2\n"]}]


def test_gated_solution_is_folded(make_book: MakeBook) -> None:
    source = """\
# First

:::{exercise-start} Code it
:label: ex-x
:::

Do it.

:::{exercise-end}
:::

:::{solution-start} ex-x
:label: sol-x
:class: dropdown
:::

```{code-cell}
assert True
```

:::{solution-end}
:::
"""
    made = notebook(make_book(source))
    (heading,) = [c for c in made["cells"] if "".join(c["source"]).startswith("#### Solution")]
    assert heading["source"] == ["#### Solution to Exercise 1.1"]
    assert made["metadata"]["colab"]["collapsed_sections"] == [heading["metadata"]["id"]]


def test_notebooks_are_valid_and_pure(make_book: MakeBook) -> None:
    root = make_book(
        "# First\n\nText.\n\n```{code-cell}\nx = 1\n```\n\n```{code-cell}\nx = 1\n```\n"
    )
    texts = make_notebooks.make(mystbook.load(root))
    assert texts == make_notebooks.make(mystbook.load(root))
    assert set(texts) == {"first.ipynb", "second.ipynb"}  # pages without a kernel have none
    for text in texts.values():
        nbformat.validate(nbformat.reads(text, as_version=4))


def test_ids_survive_an_insertion(make_book: MakeBook) -> None:
    before = {c["id"] for c in notebook(make_book("# A\n\n```{code-cell}\nx = 1\n```\n"))["cells"]}
    after = {
        c["id"]
        for c in notebook(
            make_book("# A\n\n```{code-cell}\nnew = 1\n```\n\n```{code-cell}\nx = 1\n```\n")
        )["cells"]
    }
    assert before < after


def test_badge_and_setup(make_book: MakeBook) -> None:
    made = notebook(make_book("# First\n"))
    badge, setup = ("".join(cell["source"]) for cell in made["cells"][:2])
    assert (
        "colab.research.google.com/github/someone/small-book/blob/trunk/notebooks/first.ipynb"
        in badge
    )
    assert f'"--branch={make_notebooks.RELEASE}"' in setup
    assert "gpu=" not in setup
    assert "fast=" not in setup  # it has one size
    compile(setup, "setup", "exec")
    assert len(setup.splitlines()) <= CELL_LINES


def test_gpu_page(make_book: MakeBook) -> None:
    root = make_book("# First\n")
    path = root / "book" / "first.md"
    extra = "colab:\n  gpu: true\n  modes: true\n  packages: [normflows]\n"
    path.write_text(path.read_text().replace("kernelspec:", f"{extra}kernelspec:"))
    made = notebook(root)
    assert made["metadata"]["accelerator"] == "GPU"
    setup = "".join(made["cells"][1]["source"])
    assert "gpu=True, fast=FAST, mode=MODE" in setup
    assert '"normflows": "normflows"' in setup
    assert len(setup.splitlines()) <= CELL_LINES


def test_setup_cell_runs_from_any_folder(make_book: MakeBook, tmp_path: Path) -> None:
    """Outside Colab the cell finds the repository, goes to notebooks/ and prints the versions."""
    made = notebook(make_book("# First\n"))
    setup = "".join(made["cells"][1]["source"])
    inner = tmp_path / "clone" / "notebooks"
    (tmp_path / "clone" / "mcmcot_lite").mkdir(parents=True)
    (tmp_path / "clone" / "mcmcot_lite" / "__init__.py").write_text("")
    source = Path(mcmcot_lite.__file__).with_name("notebook.py")
    shutil.copy(source, tmp_path / "clone" / "mcmcot_lite")
    inner.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", setup + "\nprint(ROOT, FAST, SEED, DRIVE, os.getcwd())"],
        cwd=inner, capture_output=True, text=True, check=True, env={"MCMCOT_FAST": "0"},
    )  # fmt: skip
    assert run.stdout.endswith(f"{tmp_path / 'clone'} False 0 False {inner}\n")
    assert "device: " in run.stdout


def test_check_names_stale_missing_and_orphan(
    make_book: MakeBook, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_book("# First\n")
    arguments = ["--root", str(root)]
    assert make_notebooks.main(arguments) == 0
    assert make_notebooks.main([*arguments, "--check"]) == 0
    notebooks = root / "notebooks"
    (notebooks / "first.ipynb").write_text("{}")
    (notebooks / "second.ipynb").unlink()
    (notebooks / "old.ipynb").write_text("{}")
    capsys.readouterr()
    assert make_notebooks.main([*arguments, "--check"]) == 1
    printed = capsys.readouterr().out
    for line in ("stale: notebooks/first", "missing: notebooks/second", "orphan: notebooks/old"):
        assert line in printed
    assert make_notebooks.main(arguments) == 0  # writes, and removes the orphan
    assert make_notebooks.main([*arguments, "--check"]) == 0


def test_numbers_follow_the_table_of_contents(make_book: MakeBook) -> None:
    labels = mystbook.load(make_book("# First\n\n```{math}\n:label: eq-a\nx\n```\n", SECOND)).labels
    assert labels["eq-a"].number == "1.1"
    assert labels["eq-second"].number == "2.1"
    assert labels["ch-second"].number == "2"
    assert labels["ch-end"].number == ""


def test_a_place_in_the_repository_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "x = 1\n\n\ndef f():\n    pass\n\n\nclass F:\n    def g(self):\n        pass\n"
    )
    place = mystbook.repository_place
    assert place(tmp_path, "a.py") == ("a.py", "a.py")
    assert place(tmp_path, "a.py::f") == ("a.py::f", "a.py#L4")
    assert place(tmp_path, "f(x) <a.py::f>") == ("f(x)", "a.py#L4")
    assert place(tmp_path, "F <a.py::F>") == ("F", "a.py#L8")
    assert place(tmp_path, "g <a.py::g>") == ("g", "a.py#L9")
    with pytest.raises(mystbook.BookError, match=r"a\.py defines no h"):
        place(tmp_path, "a.py::h")
    with pytest.raises(mystbook.BookError, match=r"no file b\.py"):
        place(tmp_path, "b.py::f")
