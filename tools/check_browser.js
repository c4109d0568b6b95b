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
  const wide = [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1 && !boxed(element))
    .slice(0, 3)
    .map(nameOf);
  return [`page is ${root.scrollWidth} pixels wide on a screen of ${root.clientWidth}: ${wide.join(", ")}`];
}

// One title, no level skipped.
function headingProblems() {
  const problems = [];
  const headings = [...document.querySelectorAll("article :is(h1, h2, h3, h4, h5, h6, [role=heading])")];
  const level = (heading) => Number(heading.getAttribute("aria-level") ?? heading.tagName[1]);
  const titles = headings.filter((heading) => level(heading) === 1).length;
  if (titles !== 1) problems.push(`${titles} headings of level 1`);
  let last = 0;
  for (const heading of headings) {
    const said = heading.textContent.trim().slice(0, 30);
    if (level(heading) > last + 1) problems.push(`heading level ${level(heading)} follows level ${last}: "${said}"`);
    last = level(heading);
  }
  return problems;
}

// What is said aloud for an element.
function spoken(element) {
  const label = element.getAttribute("aria-label")?.trim();
  if (label) return label;
  const by = (element.getAttribute("aria-labelledby") ?? "").split(/\s+/).map((id) => id && document.getElementById(id));
  const sources = by.some((source) => source) ? by : [...(element.labels ?? [])];
  if (element.matches("a, button, [role=button]")) sources.push(element);
  const text = sources.map((source) => {
    const copy = source?.cloneNode(true);
    copy?.querySelectorAll("[aria-hidden=true], script, style, select, output").forEach((part) => part.remove());
    const inside = [...(copy?.querySelectorAll("img[alt], [aria-label]") ?? [])];
    return [copy?.textContent ?? "", ...inside.map((part) => part.getAttribute("aria-label") ?? part.alt)].join(" ").trim();
  });
  const value = element.matches("[type=submit], [type=button], [type=reset], [type=image]") ? element.value || element.alt : "";
  return text.join(" ").trim() || element.title?.trim() || value || "";
}

// What is clicked, moved or filled in, and has no name to be read aloud.
function nameProblems() {
  const parts = "input:not([type=hidden]), select, textarea, button, a[href], [role=button], [role=slider]";
  return [...document.querySelectorAll(parts)]
    .filter((part) => getComputedStyle(part).display !== "none" && !part.closest("[aria-hidden=true], [hidden]"))
    .filter((part) => !spoken(part))
    .map((part) => `no name to be read aloud: ${nameOf(part)} ${part.id && `#${part.id}`}`.trim());
}

function nameOf(element) {
  return [element.tagName.toLowerCase(), ...element.classList].join(".");
}

// A CSS colour as red, green, blue of 0 to 255, each times the opacity, and the opacity.
function colour(text) {
  const numbers = text.match(/-?[\d.]+(?:e-?\d+)?/g)?.map(Number) ?? [0, 0, 0, 0];
  const [r, g, b, opacity = 1] = text.startsWith("color(") ? numbers.map((v, i) => (i < 3 ? 255 * v : v)) : numbers;
  return [r * opacity, g * opacity, b * opacity, opacity];
}

function over(front, back) {
  return front.map((v, i) => v + back[i] * (1 - front[3]));
}

// What is seen of a colour in an element, and of what it stands on: each box adds its background
// below, and makes all that is in it as transparent as it is itself.
function seen(element, front, boxes) {
  let back = [0, 0, 0, 0];
  for (let box = element; box; box = box.parentElement) {
    if (!boxes.has(box)) {
      const style = getComputedStyle(box);
      boxes.set(box, [colour(style.backgroundColor), Number(style.opacity)]);
    }
    const [layer, opacity] = boxes.get(box);
    [front, back] = [front, back].map((shade) => over(shade, layer).map((v) => v * opacity));
  }
  const paper = [255, 255, 255, 1];
  return [over(front, paper), over(back, paper)];
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
  for (const change of document.getAnimations()) if (change instanceof CSSTransition) change.finish();
  const found = new Map();
  const boxes = new Map();
  const unseen = "script, style, noscript, option, .visually-hidden, .skip-link, [aria-hidden=true], :disabled";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest(unseen)) continue;
    const style = getComputedStyle(element);
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || style.fontSize === "0px") continue;
    const drawn = element.closest("svg") && !element.closest("foreignObject");
    if (drawn && !style.fill.startsWith("rgb")) continue;
    const ink = colour(drawn ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const front = drawn ? ink.map((v) => v * Number(style.fillOpacity)) : ink;
    const ratio = contrast(...seen(element, front, boxes));
    if (ratio >= (large ? 3 : 4.5) - 0.05) continue;
    const name = nameOf(element);
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
    ...headingProblems(),
    ...nameProblems(),
    ...contrastProblems(),
  ];
  return { problems, formulas: formulas.length, figures: figures.length, images: images.length };
}
