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

// Numbers of a CSS colour: red, green, blue of 0 to 255, and opacity.
function colour(text) {
  const numbers = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
  return numbers.length > 3 ? numbers : [...numbers, 1];
}

function over(front, back) {
  return [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3]));
}

// What an element stands on: the backgrounds behind it, the nearest last.
function ground(element) {
  const layers = [];
  for (let box = element; box; box = box.parentElement) {
    const layer = colour(getComputedStyle(box).backgroundColor);
    if (layer[3] > 0) layers.push(layer);
    if (layer[3] === 1) break;
  }
  return layers.reverse().reduce((back, layer) => over(layer, back), [255, 255, 255]);
}

// WCAG 2: relative luminance, and the ratio of two.
function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

// Text that is hard to read on what it stands on: less than 4.5 to 1, or 3 to 1 where it is large.
function contrastProblems() {
  const found = new Map();
  const walker = document.createTreeWalker(document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("svg, script, style, noscript, .plotly-lazy, [aria-hidden=true]")) continue;
    const style = getComputedStyle(element);
    if (!element.checkVisibility() || Number(style.opacity) < 1 || style.fontSize === "0px") continue;
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const back = ground(element);
    const ratio = contrast(over(colour(style.color), back), back);
    if (ratio >= (large ? 3 : 4.5) - 0.05) continue;
    const name = [element.tagName.toLowerCase(), ...element.classList].join(".");
    if (!found.has(name)) found.set(name, `contrast ${ratio.toFixed(1)}: ${name}, "${walker.currentNode.data.trim().slice(0, 30)}"`);
  }
  return [...found.values()];
}

// What a sheet of paper would cut: there nothing scrolls.
function printProblems() {
  const parts = "pre, table, figure, img, mjx-container[display] > svg, svg.main-svg, .svg-container";
  const found = [];
  for (const part of document.querySelectorAll(`article :is(${parts})`)) {
    if (!part.checkVisibility()) continue;
    const [own, room] = [part, part.parentElement].map((box) => box.getBoundingClientRect().width);
    if (own <= room + 1 && part.scrollWidth <= part.clientWidth + 1) continue;
    const said = (part.getAttribute("alt") ?? part.textContent).trim().slice(0, 30);
    found.push(`cut in print: ${part.tagName.toLowerCase()}, "${said}"`);
  }
  return found;
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
    ...contrastProblems(),
  ];
  return { problems, formulas: formulas.length, figures: figures.length, images: images.length };
}
