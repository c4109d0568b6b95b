// Draws each <div class="plotly-lazy"> when it comes near the viewport or the page is printed, from the
// JSON beside it.
// plotly.js (4.7 MB) is loaded once, from the book itself, and only on a page that is scrolled to a figure.
(() => {
  "use strict";
  const library = new URL("plotly.min.js", document.currentScript.src).href;
  const narrow = 480; // pixels; below this a figure gives its margins to the plot
  let loading = null;

  function load() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = library;
      script.onload = resolve;
      script.onerror = () => reject(new Error("plotly.js did not load"));
      document.head.append(script);
    });
    return loading;
  }

  // One look for all figures, dark on white; in dark mode the page dims the card they stand on.
  function look(layout) {
    const [text, grid, surface, clear] = ["#222832", "#d1d5da", "#f3f4f5", "rgba(0,0,0,0)"];
    const button = { bgcolor: "#ffffff", "font.color": text, bordercolor: "#9ca4af" };
    const update = { paper_bgcolor: clear, plot_bgcolor: clear, "font.color": text };
    const axis = (path) => {
      update[`${path}.gridcolor`] = grid;
      update[`${path}.zerolinecolor`] = grid;
      update[`${path}.linecolor`] = grid;
      update[`${path}.color`] = text;
    };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) axis(key);
      if (/^scene\d*$/.test(key)) {
        for (const name of ["xaxis", "yaxis", "zaxis"]) {
          axis(`${key}.${name}`);
          update[`${key}.${name}.backgroundcolor`] = clear;
        }
      }
    }
    (layout.updatemenus || []).forEach((_, i) => {
      for (const [key, value] of Object.entries(button)) update[`updatemenus[${i}].${key}`] = value;
    });
    (layout.sliders || []).forEach((_, i) => {
      update[`sliders[${i}].bgcolor`] = surface;
      update[`sliders[${i}].activebgcolor`] = grid;
      update[`sliders[${i}].bordercolor`] = grid;
      update[`sliders[${i}].tickcolor`] = text;
    });
    return update;
  }

  // Plotly reserves too little room for a slider's labels, and on a phone too much for the rest.
  function fit(layout, width) {
    delete layout.width; // the page decides
    layout.autosize = true;
    for (const slider of layout.sliders || []) slider.pad = { ...slider.pad, b: Math.max(slider.pad?.b ?? 0, 30) };
    if (width >= narrow) return;
    const given = layout.margin || {};
    const top = layout.title?.text ? 60 : 30;
    layout.margin = { ...given, l: Math.min(given.l ?? 50, 50), r: Math.min(given.r ?? 10, 10), t: Math.min(given.t ?? top, top) };
    if (!layout.legend?.orientation) {
      layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom" };
    }
  }

  async function draw(div) {
    if (div.dataset.state) return;
    div.dataset.state = "drawing";
    const json = document.querySelector(`script[data-for="${div.id}"]`).textContent;
    const { data, layout = {}, frames = [], config = {} } = JSON.parse(json);
    try {
      await load();
      fit(layout, div.clientWidth);
      const options = { responsive: true, displayModeBar: false, ...config };
      await Plotly.newPlot(div, { data, layout, frames, config: options });
      await Plotly.relayout(div, look(div._fullLayout));
      div.dataset.state = "drawn";
    } catch (error) {
      div.dataset.state = "failed";
      div.textContent = `${div.getAttribute("aria-label")} (${error.message})`;
      throw error;
    }
  }

  // The button and the keys for printing wait for the figures that were not scrolled to.
  function printWhole(figures) {
    const print = window.print.bind(window);
    window.print = async () => {
      figures.forEach(draw);
      const drawing = () => figures.some((figure) => figure.dataset.state === "drawing");
      while (drawing()) await new Promise((done) => setTimeout(done, 50));
      print();
    };
    window.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key !== "p") return;
      event.preventDefault();
      window.print();
    });
  }

  function start() {
    const figures = [...document.querySelectorAll(".plotly-lazy")];
    const watch = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          watch.unobserve(target);
          draw(target);
        }
      },
      { rootMargin: "500px" },
    );
    figures.forEach((figure) => watch.observe(figure));
    printWhole(figures);
    window.addEventListener("beforeprint", () => figures.forEach(draw));
    // Paper is as wide as it is: the style sheet scales a figure that has a viewBox.
    const pictures = () => document.querySelectorAll(".plotly-lazy svg.main-svg");
    window.addEventListener("beforeprint", () => {
      for (const svg of pictures()) {
        svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
      }
    });
    window.addEventListener("afterprint", () => pictures().forEach((svg) => svg.removeAttribute("viewBox")));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
