// Small repairs that every page needs.
(() => {
  "use strict";
  // Search summaries are fetched, which browsers refuse on file://; the list of hits needs no fetch.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // What is wider than its column scrolls in a box of its own, which the keyboard can reach.
  function boxes() {
    for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
      const column = formula.closest("p, li, td, dd, figcaption, div");
      formula.classList.remove("wide");
      if (column && formula.scrollWidth > column.clientWidth) formula.classList.add("wide");
    }
    const wide = "mjx-container[display], mjx-container.wide, .pst-scrollable-table-container, div.highlight pre";
    for (const box of document.querySelectorAll(wide)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else if (!box.matches("pre")) box.removeAttribute("tabindex");
    }
  }

  window.addEventListener("load", () => {
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
