"""A small book to try the tools on."""

from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
CONFIG = """\
repository:
  url: https://github.com/someone/small-book
  branch: trunk
"""
TOC = """\
format: jb-book
root: book/index
parts:
  - caption: One
    numbered: true
    chapters:
      - file: book/first
  - caption: Two
    numbered: true
    chapters:
      - file: book/second
  - caption: Back
    chapters:
      - file: book/end
"""
BIB = """\
@article{an2021, author={An, Dongsheng and Xie, Jianwen and Li, Ping}, year={2021},
  title={A {T}itle}, journal={A Journal}}
@book{peyre2019, author={Peyr{\\'e}, Gabriel and Cuturi, Marco}, year={2019}, title={Transport}}
"""

MakeBook = Callable[..., Path]


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """Writes a book of four pages; the text of `first` and `second` is given."""

    def make(first: str, second: str = "# Second\n", index: str = "# Welcome\n") -> Path:
        (tmp_path / "book").mkdir(exist_ok=True)
        (tmp_path / "_config.yml").write_text(CONFIG)
        (tmp_path / "_toc.yml").write_text(TOC)
        (tmp_path / "book" / "references.bib").write_text(BIB)
        (tmp_path / "book" / "index.md").write_text(index)
        (tmp_path / "book" / "end.md").write_text("(ch-end)=\n# End\n")
        (tmp_path / "book" / "first.md").write_text(HEAD + first)
        (tmp_path / "book" / "second.md").write_text(HEAD + second)
        return tmp_path

    return make
