"""A deck for each chapter, from the built pages: their statements and figures, nothing typed twice.

    python tools/make_slides.py [--html DIR]     after `make book`

Writes slides/NAME.html into the built book. A deck has a title, the objectives, for each section
its numbered formulas, algorithms and figures (those that play, play here), the exercises, the
summary. Arrows, space, Home and End turn; printed, each slide is a page. It needs the book's own
_static and _images beside it, and no network.
"""

from __future__ import annotations

import argparse
import copy
import html
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import mystbook
from bs4 import BeautifulSoup, Tag

LINES, FORMULAS = 6, 2  # at most, on one slide
QUESTIONS = "Can you now say, without looking,"
HEIGHT = 410  # pixels of a plotly figure
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 26px/1.4 system-ui, sans-serif; color: #222832; background: #fff; }
main > section { display: none; height: 100vh; padding: 4vh 6vw 9vh; overflow: auto; }
main > section.now { display: flex; flex-direction: column; justify-content: safe center; }
h1 { font-size: 1.7em; } h2 { font-size: 1.25em; margin: 0 0 0.6em; color: #0072B2; }
figure { margin: 0; text-align: center; flex: 0 1 auto; }
figure img { max-width: 100%; max-height: 62vh; width: auto; height: auto; }
figure > .played { text-align: left; width: 100%; }
.statement > p:first-child { font-weight: 600; }
.statement ol, ul { padding-left: 1.2em; }
li { margin: 0.35em 0; }
.eqno { float: right; color: #5a6470; }
.note { font-size: 0.7em; color: #48566b; }
[data-choose] { max-width: min(480px, 46vh) !important; font-size: 0.6em; }
[data-lab] { display: grid; grid-template-columns: minmax(0, 58vh) minmax(0, 1fr); gap: 0 2vw;
  max-width: none !important; font-size: 0.7em; align-content: start; }
[data-lab] > :first-child { grid-row: 1 / span 3; }
.plotly-lazy { position: relative; }
figure .plotly-still { position: absolute; inset: 0; width: 100%; height: 100%; max-height: none;
  object-fit: contain; background: #fff; }
.plotly-lazy:focus-visible { outline: 3px solid #0072B2; outline-offset: -3px; }
.plotly-lazy:focus-visible::after { content: attr(data-keys); position: absolute;
  inset: auto 3px 3px; font-size: 13px; line-height: 1.2; text-align: center; background: #fff; }
.plotly-said { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); }
footer { position: fixed; bottom: 0; width: 100%; padding: 0.5em 2vw; font-size: 0.55em;
  display: flex; justify-content: space-between; color: #48566b; background: #fff; }
footer button { font: inherit; margin: 0 0.2em; }
@media print {
  @page { size: 320mm 180mm; margin: 0; }
  main > section { display: flex !important; flex-direction: column; justify-content: center;
    height: 180mm; page-break-after: always; }
  footer, button, input { display: none !important; }
}
"""
SCRIPT = """
(() => {
  const slides = [...document.querySelectorAll("main > section")];
  const said = document.querySelector("[data-place]");
  let k = Math.max(0, Math.min(slides.length - 1, Number(location.hash.slice(1)) - 1 || 0));
  // A slide that is too full gets smaller letters.
  function fit(slide) {
    slide.style.fontSize = "";
    for (let size = 25; size > 12 && slide.scrollHeight > slide.clientHeight + 1; size--) {
      slide.style.fontSize = `${size}px`;
    }
  }
  function show(to) {
    k = Math.max(0, Math.min(slides.length - 1, to));
    slides.forEach((slide, i) => slide.classList.toggle("now", i === k));
    said.textContent = `${k + 1} / ${slides.length}`;
    history.replaceState(null, "", `#${k + 1}`);
    window.dispatchEvent(new Event("resize"));
    fit(slides[k]);
  }
  const keys = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return; // a plotly figure took it
    if (event.target.closest("input, select, svg [tabindex], button")) return;
    if (event.key in keys) show(k + keys[event.key]);
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(slides.length - 1);
    else return;
    event.preventDefault();
  });
  document.querySelector("[data-back]").addEventListener("click", () => show(k - 1));
  document.querySelector("[data-on]").addEventListener("click", () => show(k + 1));
  show(k);
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(() => fit(slides[k])));
})();
"""
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<style>{style}</style>
<script>window.MathJax = {{options: {{enableMenu: false}}}};</script>
<script defer src="../_static/mathjax/tex-svg.js"></script>
{plotly}
</head>
<body>
<main>
{slides}
</main>
<footer><span>{title}</span><span><button type="button" data-back aria-label="back">&#9664;</button>
<span data-place></span>
<button type="button" data-on aria-label="on">&#9654;</button></span>
<span>CC BY 4.0</span></footer>
<script>{script}</script>
</body>
</html>
"""


@dataclass
class Slide:
    """One screen: a heading and what stands under it."""

    head: str
    body: str


def text_of(heading: Tag) -> str:
    """A heading without its number and its link, as HTML."""
    own = copy.copy(heading)
    for part in own.select(".headerlink, .section-number"):
        part.decompose()
    return own.decode_contents().strip()


def cleaned(part: Tag) -> Tag:
    """A copy that can stand on a slide: links lead to the page, ids are the page's alone."""
    own = copy.copy(part)
    for link in own.select(".headerlink"):
        link.decompose()
    for link in own.select("a"):
        link.unwrap()
    for tagged in [own, *own.select("[id]")]:
        if not str(tagged.get("id", "")).startswith("plotly-"):
            tagged.attrs.pop("id", None)
    return own


def figure(part: Tag) -> str:
    """A figure with its caption; the whole caption, since it says what to see."""
    own = cleaned(part)
    for drawn in own.select("script[data-for]"):
        content = json.loads(drawn.string or "{}")
        content.setdefault("layout", {})["height"] = HEIGHT
        drawn.string = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    for box in own.select(".plotly-lazy"):
        box["style"] = f"min-height:{HEIGHT}px"
    caption = own.find("figcaption")
    note = ""
    if isinstance(caption, Tag):
        note = f'<p class="note">{caption.get_text(" ", strip=True)}</p>'
        caption.decompose()
    inner = own.decode_contents()
    played = own.select("[data-lab], [data-choose], .plotly-lazy")
    box = f'<div class="played">{inner}</div>' if played else inner
    return f"<figure>{box}</figure>{note}"


def listed(items: list[Tag], head: str) -> list[Slide]:
    """A list, some lines a slide."""
    rows = [cleaned(item).decode_contents() for item in items]
    return [
        Slide(head, "<ul>" + "".join(f"<li>{row}</li>" for row in rows[i : i + LINES]) + "</ul>")
        for i in range(0, len(rows), LINES)
    ]


def section_slides(section: Tag) -> list[Slide]:
    """What a section states and shows, in its order."""
    heading = section.find("h2")
    assert isinstance(heading, Tag)
    head = text_of(heading)
    if head in ("Further reading", "References"):
        return []
    if head == "Exercises":
        titles = section.select("div.exercise > p.admonition-title")
        return listed(titles, head)
    if head == "Summary":
        lists = section.select("ul")
        found = listed(lists[0].select("li"), head) if lists else []
        return found + [s for ul in lists[1:] for s in listed(ul.select("li"), QUESTIONS)]
    found: list[Slide] = []
    for part in section.select("div.math[id^=equation-], div.proof, figure"):
        if part.find_parent(["details", "figure"]) or part.find_parent(class_="solution"):
            continue
        if part.name == "figure":
            found.append(Slide(head, figure(part)))
        elif "proof" in (part.get("class") or []):
            found.append(
                Slide(head, f'<div class="statement">{cleaned(part).decode_contents()}</div>')
            )
        elif not part.find_parent(class_="proof"):
            if found and 0 < found[-1].body.count('<div class="formula">') < FORMULAS:
                found[-1].body += f'<div class="formula">{cleaned(part)}</div>'
            else:
                found.append(Slide(head, f'<div class="formula">{cleaned(part)}</div>'))
    return found


def deck(page: str) -> tuple[str, list[Slide], bool]:
    """Title, slides, and whether plotly is needed, of a built chapter."""
    soup = BeautifulSoup(page, "html.parser")
    article = soup.select_one("article.bd-article")
    assert isinstance(article, Tag)
    heading = article.find("h1")
    assert isinstance(heading, Tag)
    title = text_of(heading)
    book = soup.title.get_text().partition("\N{EM DASH}")[2].strip() if soup.title else ""
    slides = [Slide("", f'<h1>{title}</h1><p class="note">{html.escape(book)}</p>')]
    goals = article.select("div.tip.admonition li")
    slides += listed(goals, "After this you can")
    for section in article.select("section > section"):
        if section.find("h2", recursive=False):
            slides += section_slides(section)
    plotly = any("plotly-lazy" in slide.body for slide in slides)
    return heading.get_text(" ", strip=True).rstrip("# "), slides, plotly


def write(html_folder: Path, names: list[str]) -> list[Path]:
    """Decks of the chapters; returns their paths."""
    out = html_folder / "slides"
    out.mkdir(exist_ok=True)
    paths: list[Path] = []
    for name in names:
        page = (html_folder / "book" / f"{name}.html").read_text(encoding="utf-8")
        title, slides, plotly = deck(page)
        body = "\n".join(
            f"<section>{f'<h2>{s.head}</h2>' if s.head else ''}{s.body}</section>" for s in slides
        )
        script = '<script defer src="../_static/plotly-lazy.js"></script>' if plotly else ""
        paths.append(out / f"{name}.html")
        text = PAGE.format(
            title=html.escape(title), style=STYLE, script=SCRIPT, slides=body, plotly=script
        )
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Writes the decks and says where they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--html", type=Path, default=mystbook.ROOT / "_build" / "html")
    options = parser.parse_args(arguments)
    book = mystbook.load(mystbook.ROOT)
    folder: Path = options.html.resolve()
    names = [p.name for p in book.pages.values() if p.chapter is not None]
    names = [name for name in names if (folder / "book" / f"{name}.html").is_file()]
    if not names:
        print(f"error: no chapter in {folder}; run `make book`", file=sys.stderr)
        return 1
    paths = write(folder, names)
    print(f"wrote {len(paths)} decks into {paths[0].parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
