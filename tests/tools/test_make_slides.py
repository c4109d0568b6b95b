"""make_slides.py: what a chapter states and shows, in its order, and no solution."""

import json

import make_slides
from bs4 import BeautifulSoup

PAGE = """
<html><head><title>2. Two &#8212; A book</title></head><body><article class="bd-article">
<section id="two"><h1>
<span class="section-number">2. </span>Two &amp; more<a class="headerlink">#</a></h1>
<div class="tip admonition"><p>After</p><ul><li><p>do this,</p></li><li><p>and that.</p></li>
</ul></div>
<section id="a"><h2><span class="section-number">2.1. </span>Model<a class="headerlink">#</a>
</h2>
<p>Text that is not on a slide.</p>
<div class="math" id="equation-one"><span class="eqno">(2.1)</span>\\[x\\]</div>
<div class="math">\\[not numbered\\]</div>
<div class="math" id="equation-two">\\[y\\]</div>
<div class="math" id="equation-three">\\[z\\]</div>
<figure id="fig-a"><img alt="dots" src="../_images/a.png"/><figcaption><p>Fig. 2.1 Dots.</p>
</figcaption></figure>
<div class="proof algorithm admonition" id="alg"><p>Algorithm 2.1</p><ol>
<li>Go to <a href="x">there</a>.</li></ol>
<div class="math" id="equation-four">\\[inside\\]</div></div>
<figure id="fig-b"><div class="output">
<div class="plotly-lazy" id="plotly-1-0" style="min-height:900px"></div>
<script type="application/json" data-for="plotly-1-0">{"data":[],"layout":{"height":900}}</script>
</div>
<figcaption><p>Turn.</p></figcaption></figure></section>
<section id="ex"><h2>Exercises</h2>
<div class="exercise admonition" id="ex-1">
<p class="admonition-title">Exercise 2.1 (check)</p><p>Why?</p></div>
<div class="solution dropdown admonition" id="sol-1"><p>SECRET</p>
<figure><img alt="s" src="SECRET.png"/></figure></div></section>
<section id="s"><h2>Summary</h2><ul><li>One.</li><li>Two.</li></ul><p>Can you</p>
<ul><li>why?</li></ul></section>
<section id="f"><h2>Further reading</h2><p>SECRET</p></section>
</section></article></body></html>
"""


def test_a_deck_holds_statements_and_figures_in_order():
    title, slides, plotly = make_slides.deck(PAGE)
    assert title.startswith("2. Two & more")
    assert plotly
    heads = [slide.head for slide in slides]
    model = ["Model"] * 5  # two formulas, one formula, figure, algorithm, figure
    assert heads == [
        "",
        "After this you can",
        *model,
        "Exercises",
        "Summary",
        make_slides.QUESTIONS,
    ]
    assert "why?" in slides[-1].body
    assert "why?" not in slides[-2].body
    body = "\n".join(slide.body for slide in slides)
    assert "SECRET" not in body
    assert "not on a slide" not in body
    assert "not numbered" not in body
    assert "A book" in slides[0].body
    assert slides[2].body.count("math") == 2
    assert slides[3].body.count("math") == 1
    assert 'alt="dots"' in slides[4].body
    assert "Fig. 2.1 Dots." in slides[4].body
    assert "Go to there." in slides[5].body
    assert "inside" in slides[5].body
    assert slides[7].body.count("<li>") == 1


def test_plotly_gets_the_height_of_a_slide():
    _, slides, _ = make_slides.deck(PAGE)
    soup = BeautifulSoup(slides[6].body, "html.parser")
    drawn = json.loads(soup.find("script").string)
    assert drawn["layout"]["height"] == make_slides.HEIGHT
    assert f"min-height:{make_slides.HEIGHT}px" in soup.find(class_="plotly-lazy")["style"]


def test_long_lists_are_parted():
    items = "".join(f"<li>{k}</li>" for k in range(make_slides.LINES + 1))
    page = PAGE.replace("<li>One.</li><li>Two.</li>", items)
    _, slides, _ = make_slides.deck(page)
    assert [s.body.count("<li>") for s in slides if s.head == "Summary"] == [make_slides.LINES, 1]


def test_files_are_written_and_name_their_parts(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "two.html").write_text(PAGE)
    (path,) = make_slides.write(tmp_path, ["two"])
    text = path.read_text()
    assert path == tmp_path / "slides" / "two.html"
    assert "<title>2. Two &amp; more: slides</title>" in text
    assert text.count("<section>") == 10
    assert "../_static/plotly-lazy.js" in text
    assert "http:" not in text
    assert "https:" not in text
