"""Sphinx extension: a book that loads everything from itself, from ``file://`` and with no network.

It does these things:

1. copies MathJax and plotly.js out of the installed wheels into the built book;
2. turns plotly's JSON output into a still (``plotly_still.py``) that ``_static/plotly-lazy.js``
   replaces by the figure when it comes near the viewport, and warns (under ``-W``: fails) when
   ``layout.meta.alt`` is missing;
3. warns when a picture has no alt text;
4. loads each script once, and only on pages that need it;
5. puts a Colab button on each page, which opens the generated notebook;
6. compares the book's numbers with those that ``tools/mystbook.py`` gives to the notebooks;
7. adds the role ``{repo}`tests/test_density.py` ``, a link to a file of the repository;
8. takes out of the theme's pages what fails or is not needed from ``file://``;
9. takes outputs that ``tools/execute_pages.py`` has kept, or prints a line for each page that the
   build executes (it runs quietly otherwise);
10. gives the directive ``nb-exec-table`` a plain form: chapter, seconds, memory, in order;
11. leaves fields of named tuples out of the library's reference: their docstrings list them.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import html
import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass, field
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.core import render as myst_nb_render
from myst_nb.ext import execution_tables
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import mystbook  # noqa: E402  (lives in tools/)
import plotly_still  # noqa: E402  (beside this file)

PLOTLY_MIME = "application/vnd.plotly.v1+json"
DEFAULT_HEIGHT = 450  # pixels; plotly's own default
COLAB = "https://colab.research.google.com/github"
NOT_NEEDED = re.compile(
    r'<link rel="preload" as="font"[^>]*>\s*'
    r'|<script src="[^"]*fontawesome[^"]*/all\.min\.js[^"]*"></script>\s*'
    r'|<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>\s*'
    r'|(?<=<section) id="(?:exercise|solution)-content"',  # the same for all on a page
    re.DOTALL,
)
logger = logging.getLogger(__name__)


class PlotlyRenderer:
    """MyST-NB's mime renderer for plotly figures (protocol of ``myst_nb.mime_renderers``)."""

    mime_priority_overrides = (("html", PLOTLY_MIME, 15),)  # 15: before text/html, which is 20

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Node] | None:
        """The figure as a still, its JSON beside it; None for every other mime type."""
        if inline or data.mime_type != PLOTLY_MIME:
            return None
        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        layout = figure.get("layout", {})
        alt = str((layout.get("meta") or {}).get("alt") or "").strip()
        if not alt:
            place = f"{renderer.renderer.document['source']}:{data.line}"
            logger.warning("plotly figure without alt text: set layout.meta['alt']", location=place)
        name = f"plotly-{data.cell_index}-{data.output_index}"
        height = int(layout.get("height") or DEFAULT_HEIGHT)
        payload = json.dumps(figure, separators=(",", ":")).replace("<", "\\u003c")
        quoted = html.escape(alt, quote=True)
        still = base64.b64encode(plotly_still.png(figure)).decode()
        body = (
            f'<div class="plotly-lazy" id="{name}" role="figure" aria-label="{quoted}" '
            f'style="min-height:{height}px">'
            f'<img class="plotly-still" src="data:image/png;base64,{still}" alt="{quoted}"></div>'
            "<noscript><p>A still picture: the controls need JavaScript.</p></noscript>"
            f'<script type="application/json" data-for="{name}">{payload}</script>'
        )
        return [nodes.raw("", body, format="html", classes=["output"])]


@dataclass
class RoundReferenceStyle(AuthorYearReferenceStyle):
    """Author and year in round brackets: An et al. (2021), (An et al., 2021)."""

    bracket_textual: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))
    bracket_parenthetical: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))


def made_on() -> str:
    """Day, machine and versions of this build."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "POT"))
    return (
        f"built on {dt.date.today().isoformat()}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def run_times(app: Sphinx, parent: str, metadata: dict[str, dict[str, Any]]) -> nodes.table:
    """The table of ``nb-exec-table``: each executed page in the book's order, its seconds, and the
    memory of its notebook as ``benchmarks/notebooks.py`` measured it.
    """
    numbers = app.env.toc_secnumbers
    memory = json.loads((ROOT / "results" / "notebooks.json").read_text(encoding="utf-8"))
    data = {doc: kept.get("exec_data") for doc, kept in metadata.items()}
    times = {doc: run["runtime"] for doc, run in data.items() if run}
    rows = [("chapter", "seconds", "GB")]
    numbered = sorted((doc for doc in times if doc in numbers), key=lambda doc: numbers[doc][""])
    for doc in [*numbered, *sorted(times.keys() - numbers.keys())]:
        chapter = ".".join(map(str, numbers[doc][""])) + ". " if doc in numbers else ""
        gigabytes = memory["gigabytes"].get(Path(doc).name)
        size = "" if gigabytes is None else f"{gigabytes:.1f}"
        rows.append((chapter + app.env.titles[doc].astext(), f"{times[doc]:.0f}", size))
    largest = max(memory["gigabytes"].values())
    rows.append(("all; the largest", f"{sum(times.values()):,.0f}", f"{largest:.1f}"))
    machine = memory["machine"]
    rows.append((made_on(), "", ""))
    on = f"Python {machine['python']}, torch {machine['torch']}, {machine['device']}"
    rows.append((f"memory measured on {machine['date']}, {on}", "", ""))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (70, 15, 15)), cols=3)
    for part, content in ((nodes.thead(), rows[:1]), (nodes.tbody(), rows[1:])):
        for row in content:
            part += nodes.row("", *(nodes.entry("", nodes.paragraph(text=t)) for t in row))
        group += part
    return nodes.table("", group, classes=["colwidths-auto"])


def drop_automatic_scripts(app: Sphinx, config: Config) -> None:
    """jupyter-book puts every script of _static on every page; here a page gets what it needs."""
    config.html_js_files = []


def take_executed(app: Sphinx, config: Config) -> None:
    """Outputs that ``tools/execute_pages.py`` has just kept, instead of another run."""
    folder = os.environ.get("EXECUTED_PAGES")
    if folder:
        config.nb_execution_mode = "cache"
        config.nb_execution_cache_path = str(Path(folder).resolve())


def add_assets(app: Sphinx) -> None:
    """Copies the vendored scripts and names those that every page loads."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    mathjax = distribution("sphinx-mathjax-offline").locate_file(
        "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
    )
    plotly = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
    for source, target in ((mathjax, "mathjax/tex-svg.js"), (plotly, "plotly.min.js")):
        (static / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(source), static / target)
    app.add_js_file("book.js", loading_method="defer")


def check_pictures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Every picture needs alt text; every figure that a cell makes needs a caption."""
    for image in doctree.findall(nodes.image):
        if not str(image.get("alt", "")).strip():
            logger.warning("picture without alt text: %s", image.get("uri"), location=image)
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code_output":
            continue
        for picture in cell.findall(is_picture):
            figure: Any = picture.parent
            while figure is not cell and not isinstance(figure, nodes.figure):
                figure = figure.parent
            if not any(isinstance(child, nodes.caption) for child in figure.children):
                logger.warning("figure without caption (mystnb: figure: caption)", location=cell)


def is_picture(node: nodes.Node) -> bool:
    """A picture or a plotly figure."""
    return isinstance(node, nodes.image) or (isinstance(node, nodes.raw) and is_plotly(node))


def is_plotly(node: nodes.raw) -> bool:
    """The placeholder that PlotlyRenderer makes."""
    return 'class="plotly-lazy"' in node.astext()


def finish_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Scripts once each, plotly's only where it is needed; a Colab button, and none for the source,
    which is not in the book (``html_copy_source``).
    """
    if doctree is not None and any(map(is_plotly, doctree.findall(nodes.raw))):
        app.add_js_file("plotly-lazy.js", loading_method="defer")
    seen: set[tuple[str, str]] = set()
    scripts = context["script_files"]
    for script in list(scripts):
        body = getattr(script, "attributes", {}).get("body")
        key = (str(getattr(script, "filename", script)), str(body))
        if key in seen:
            scripts.remove(script)  # in place: Sphinx shares this list
        seen.add(key)
    for group in context.get("header_buttons", []):
        if "buttons" in group:
            kept = [b for b in group["buttons"] if b.get("label") != "download-source-button"]
            group["buttons"] = kept
    if "kernelspec" in app.env.metadata.get(pagename, {}) and "header_buttons" in context:
        options = app.config.html_theme_options
        owner = options["repository_url"].removeprefix("https://github.com/").rstrip("/")
        path = f"{options['repository_branch']}/notebooks/{Path(pagename).name}.ipynb"
        context["header_buttons"].insert(
            0,
            {
                "type": "link",
                "text": "Colab",
                "tooltip": "Open this page as a notebook in Google Colab",
                "icon": "_static/images/logo_colab.png",
                "label": "colab",
                "url": f"{COLAB}/{owner}/blob/{path}",
            },
        )


def check_numbers(app: Sphinx, env: BuildEnvironment) -> None:
    """The notebooks are numbered without Sphinx; here the two numberings are compared."""
    for name, label in mystbook.load(Path(app.srcdir)).labels.items():
        kind = "displaymath" if label.kind == "equation" else label.kind
        found = env.toc_fignumbers.get(f"book/{label.page}", {}).get(kind, {})
        identifier = nodes.make_id(f"equation-{name}" if kind == "displaymath" else name)
        number = ".".join(map(str, found.get(identifier, found.get(name, ()))))
        if label.number and kind != "section" and number != label.number:
            said = f"{number or 'not numbered'} in the book but {label.number} in the notebooks"
            logger.warning("%s %r is %s", label.kind, name, said, location=f"book/{label.page}")


def skip_fields(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: dict[str, Any]
) -> bool | None:
    """Autodoc's "Alias for field number 0" says less than the class's own list."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def repo_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """``{repo}`path` ``: the path as code, linked to the file; ``{repo}`words <path::name>` ``:
    the words, linked to the line that defines the name.
    """
    app: Sphinx = inliner.document.settings.env.app
    try:
        words, path = mystbook.repository_place(Path(app.srcdir), text)
    except mystbook.BookError as error:
        logger.warning("%s", error, location=(app.env.docname, lineno))
        return [nodes.literal("", text)], []
    options = app.config.html_theme_options
    address = f"{options['repository_url']}/blob/{options['repository_branch']}/{path}"
    return [nodes.reference("", "", nodes.literal("", words), refuri=address)], []


def trim_pages(app: Sphinx, error: Exception | None) -> None:
    """Drops the theme's font preloads (refused on file://), its second set of icons (1.5 MB; they
    come from the style sheet and its fonts too), the state of widgets, dead without a kernel, and
    the names that sphinx-exercise gives to all exercises alike.
    """
    if error or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(NOT_NEEDED.sub("", text), encoding="utf-8")


def bind_percent(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A line never begins with the % of a number."""
    as_written = (nodes.literal, nodes.math, nodes.FixedTextElement)
    for text in list(doctree.findall(nodes.Text)):
        if " %" in text and not isinstance(text.parent, as_written):
            text.parent.replace(text, nodes.Text(re.sub(r"(?<=\d) %", "\u00a0%", text)))


def report_page(app: Sphinx, doctree: nodes.document) -> None:
    """One line for each page that the build itself has executed."""
    data = app.env.nb_metadata.get(app.env.docname, {}).get("exec_data")
    if data and data["method"] != "cache":
        print(f"  {app.env.docname}: executed in {data['runtime']:.1f} s", flush=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers everything with Sphinx."""
    renderers = myst_nb_render.load_mime_renders()  # a cached list: appending registers
    if not any(renderer.__name__ == PlotlyRenderer.__name__ for renderer in renderers):
        renderers.append(PlotlyRenderer)
    style_group = "sphinxcontrib.bibtex.style.referencing"
    register_plugin(style_group, "author_year_round", RoundReferenceStyle)
    app.config.mathjax_path = "mathjax/tex-svg.js"
    app.config.mathjax3_config = {
        "options": {"enableMenu": False},  # the menu would fetch its extensions
        "tex": {"packages": {"[-]": ["noundefined", "noerrors"]}},  # a wrong formula is an error
    }
    execution_tables.make_stat_table = functools.partial(run_times, app)
    app.add_config_value("comments_config", {}, "html")  # jupyter-book sets it; no comments here
    app.add_role("repo", repo_role)
    app.connect("doctree-read", report_page)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("config-inited", drop_automatic_scripts)
    app.connect("config-inited", take_executed)
    app.connect("builder-inited", add_assets)
    app.connect("doctree-resolved", check_pictures)
    app.connect("doctree-resolved", bind_percent)
    app.connect("env-check-consistency", check_numbers)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", trim_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
