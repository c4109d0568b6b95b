// Run inside each page by check_browser.py.

// Scrolls to every figure and waits until it is drawn.
async function drawFigures(patience) {
  const end = Date.now() + patience;
  const settled = (figure) => ["drawn", "failed"].includes(figure.dataset.state);
  for (const figure of document.querySelectorAll(".plotly-lazy")) {
    figure.scrollIntoView({ block: "center" });
    while (!settled(figure) && Date.now() < end) await new Promise((done) => setTimeout(done, 50));
  }
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.scrollIntoView();
  window.scrollTo(0, 0);
}

function formulaProblems(formulas) {
  const problems = [];
  for (const formula of formulas) {
    const text = formula.textContent.trim().slice(0, 80);
    const error = formula.querySelector("[data-mjx-error]");
    if (error) problems.push(`MathJax: ${error.getAttribute("data-mjx-error")} in ${text}`);
    else if (formula.querySelector("mjx-merror, merror")) problems.push(`MathJax error in ${text}`);
    else if (!formula.querySelector("mjx-container svg")) problems.push(`not typeset: ${text}`);
  }
  return problems;
}

function figureProblems(figures) {
  const problems = [];
  for (const figure of figures) {
    const say = (what) => problems.push(`${what}: ${figure.id}`);
    const svg = figure.querySelector(".main-svg");
    const scenes = Object.keys(figure._fullLayout || {}).filter((key) => /^scene\d*$/.test(key));
    if (!figure.getAttribute("aria-label")) say("figure without alt text");
    if (figure.dataset.state !== "drawn" || !svg) say("figure not drawn");
    else if (figure.querySelectorAll(".gl-container canvas").length < scenes.length) say("3-D scene not drawn");
    else if (figure.querySelector(".no-webgl")) say("no WebGL");
    else if (svg.getBoundingClientRect().width > figure.clientWidth + 1) say("figure too wide");
  }
  return problems;
}

function imageProblems(images) {
  const problems = [];
  for (const image of images) {
    if (!image.alt.trim()) problems.push(`img without alt text: ${image.src}`);
    if (!image.complete || !image.naturalWidth) problems.push(`img does not load: ${image.src}`);
  }
  return problems;
}

function widthProblems() {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const boxed = (element) => {
    for (let box = element; box && box !== document.body; box = box.parentElement) {
      if (getComputedStyle(box).overflowX !== "visible") return true;
    }
    return false;
  };
  const name = (element) => [element.tagName.toLowerCase(), ...element.classList].join(".");
  const wide = [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1 && !boxed(element))
    .slice(0, 3)
    .map(name);
  return [`page is ${root.scrollWidth} pixels wide on a screen of ${root.clientWidth}: ${wide.join(", ")}`];
}

// What is wrong on this page, and how much there is of each kind.
function inspectPage() {
  const formulas = [...document.querySelectorAll("span.math, div.math")];
  const figures = [...document.querySelectorAll(".plotly-lazy")];
  const images = [...document.images];
  const problems = [
    ...formulaProblems(formulas),
    ...figureProblems(figures),
    ...imageProblems(images),
    ...widthProblems(),
  ];
  return { problems, formulas: formulas.length, figures: figures.length, images: images.length };
}
