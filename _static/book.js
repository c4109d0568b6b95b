// Small repairs that every page needs.
(() => {
  "use strict";
  // Search summaries are fetched, which browsers refuse on file://; the list of hits needs no fetch.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // A line never begins with the comma after a formula, nor ends with the bracket before it.
  function glue() {
    for (const formula of document.querySelectorAll("span.math")) {
      const [before, after] = [formula.previousSibling, formula.nextSibling];
      const text = (node) => (node?.nodeType === Node.TEXT_NODE ? node.data : "");
      const head = /[([{“‘"']+$/.exec(text(before))?.[0] ?? "";
      const tail = /^[^\s\w([{“‘]+/.exec(text(after))?.[0] ?? "";
      if (!head && !tail) continue;
      const whole = document.createElement("span");
      whole.className = "glued";
      formula.before(whole);
      if (head) before.data = before.data.slice(0, -head.length);
      if (tail) after.data = after.data.slice(tail.length);
      whole.append(head, formula, tail);
    }
  }

  // A broad picture gets a box, so that a phone can show it at a size that can be read.
  function pictures() {
    for (const picture of document.querySelectorAll(".bd-article figure > img")) {
      const w = picture.naturalWidth;
      if (w < 640) continue; // its text can be read where it fits the column
      const box = document.createElement("div");
      box.className = "broad";
      picture.replaceWith(box);
      box.append(picture);
    }
  }

  // The faded edge of a box says on which side there is more.
  function fade(box) {
    const left = box.scrollLeft > 2;
    const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 2;
    box.classList.toggle("more-left", left);
    box.classList.toggle("more-right", right);
  }

  // What is wider than its column scrolls in a box of its own, which the keyboard can reach.
  function boxes() {
    for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
      const column = formula.closest("p, li, td, dd, figcaption, div");
      formula.classList.remove("wide", "more-left", "more-right");
      formula.removeAttribute("tabindex");
      if (column && formula.scrollWidth > column.clientWidth) formula.classList.add("wide");
    }
    const wide =
      "mjx-container[display], mjx-container.wide, .pst-scrollable-table-container, " +
      "div.highlight pre, .broad";
    for (const box of document.querySelectorAll(wide)) {
      if (!box.dataset.fades) box.addEventListener("scroll", () => fade(box), { passive: true });
      box.dataset.fades = "yes";
      fade(box);
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else if (!box.matches("pre")) box.removeAttribute("tabindex");
    }
  }

  // Paper is white: a page that is read in the dark is printed as by day.
  function printByDay() {
    const root = document.documentElement;
    let theme = root.dataset.theme;
    window.addEventListener("beforeprint", () => {
      theme = root.dataset.theme;
      root.dataset.theme = "light";
    });
    window.addEventListener("afterprint", () => (root.dataset.theme = theme));
  }

  glue();
  printByDay();
  window.addEventListener("load", () => {
    pictures();
    const ready = window.MathJax?.startup?.promise ?? Promise.resolve();
    ready.then(() => {
      document.documentElement.dataset.math = "ready";
      boxes();
      let timer = 0;
      window.addEventListener("resize", () => {
        clearTimeout(timer);
        timer = setTimeout(boxes, 200);
      });
    });
  });
})();
