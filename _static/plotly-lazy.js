// Draws each <div class="plotly-lazy"> when it comes near the viewport or the page is printed, from the
// JSON beside it, in place of the still that it holds, and works it by keyboard while it has the focus.
// plotly.js (4.7 MB) is loaded once, from the book itself, and only on a page that is scrolled to a figure.
(() => {
  "use strict";
  const library = new URL("plotly.min.js", document.currentScript.src).href;
  const narrow = 480; // pixels; below this a figure gives its margins to the plot
  const finger = window.matchMedia("(pointer: coarse)");
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

  // One look for all figures, dark on white; in dark mode the page dims the card they stand on. A plane
  // stays as it is: a finger that moves over it moves the page, and no drag zooms into what cannot be undone.
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
      if (/^[xy]axis\d*$/.test(key)) {
        axis(key);
        update[`${key}.fixedrange`] = true;
        update.dragmode = false;
      }
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
    // A finger turns a figure in space: some of the page is left beside it to scroll by.
    const most = Math.round(0.8 * window.innerHeight);
    if (layout.scene && finger.matches && layout.height > most) layout.height = most;
    for (const slider of layout.sliders || []) slider.pad = { ...slider.pad, b: Math.max(slider.pad?.b ?? 0, 30) };
    if (width >= narrow) return;
    const given = layout.margin || {};
    const top = layout.title?.text ? 60 : 30;
    layout.margin = { ...given, l: Math.min(given.l ?? 50, 50), r: Math.min(given.r ?? 10, 10), t: Math.min(given.t ?? top, top) };
    if (!layout.legend?.orientation) {
      layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom" };
    }
  }

  // The eye goes round the vertical by `turn`, up by `tilt` (radians), and `far` times as far away.
  function moved({ eye, center, ...rest }, turn, tilt, far) {
    const round = ({ x, y, z }) => ({
      x: x * Math.cos(turn) - y * Math.sin(turn),
      y: x * Math.sin(turn) + y * Math.cos(turn),
      z,
    });
    const [from, to] = [round(eye), round(center)];
    const [x, y, z] = [from.x - to.x, from.y - to.y, from.z - to.z];
    const radius = far * Math.hypot(x, y, z);
    const [around, above] = [Math.atan2(y, x), Math.atan2(z, Math.hypot(x, y)) + tilt];
    const up = Math.max(-1.4, Math.min(1.4, above)); // short of the poles, where a turn is lost
    const at = {
      x: to.x + radius * Math.cos(up) * Math.cos(around),
      y: to.y + radius * Math.cos(up) * Math.sin(around),
      z: to.z + radius * Math.sin(up),
    };
    return { ...rest, eye: at, center: to };
  }

  // Keys for a drawn figure that has the focus; what they are is said in its name and shown (book.css).
  function keys(div) {
    const { sliders, updatemenus, scene } = div._fullLayout;
    const steps = sliders?.[0]?.steps ?? [];
    const buttons = updatemenus?.[0]?.buttons ?? []; // play, pause
    const step = Math.PI / 18;
    let playing = false;
    div.on("plotly_animatingframe", ({ animation }) => (playing = animation.frame.duration > 0));
    div.on("plotly_animated", () => (playing = false));
    // A promise that a later key interrupts is rejected, which is meant.
    const animate = (args) => Plotly.animate(div, ...args).catch(() => {});
    // A screen reader hears which frame a key has led to, and whether the figure plays.
    const said = document.createElement("p");
    said.className = "plotly-said";
    said.setAttribute("role", "status");
    const say = (k) => {
      said.textContent = `${sliders[0].currentvalue.prefix ?? ""}${steps[k].label}${playing ? ", playing" : ""}`;
    };
    const show = (of) => () => {
      const k = Math.max(0, Math.min(steps.length - 1, of(div._fullLayout.sliders[0].active)));
      animate(steps[k].args);
      say(k);
    };
    const look = (...by) => () => Plotly.relayout(div, { "scene.camera": moved(div._fullLayout.scene.camera, ...by) });
    const acts = {};
    const hints = [];
    if (steps.length) {
      Object.assign(acts, { ArrowLeft: show((k) => k - 1), ArrowRight: show((k) => k + 1) });
      Object.assign(acts, { Home: show(() => 0), End: show(() => steps.length - 1) });
      hints.push("← → Home End: frames");
    }
    if (buttons.length > 1) {
      acts[" "] = acts.Enter = () => {
        animate(buttons[playing ? 1 : 0].args);
        playing = !playing;
        say(div._fullLayout.sliders[0].active);
      };
      hints.push("space: play, pause");
    }
    if (scene) {
      Object.assign(acts, { "Shift+ArrowLeft": look(-step, 0, 1), "Shift+ArrowRight": look(step, 0, 1) });
      for (const shift of ["", "Shift+"]) {
        Object.assign(acts, { [`${shift}ArrowUp`]: look(0, step, 1), [`${shift}ArrowDown`]: look(0, -step, 1) });
      }
      acts["+"] = acts["="] = look(0, 0, 1 / 1.15);
      acts["-"] = look(0, 0, 1.15);
      hints.push("shift ← →: turn", "↑ ↓: tilt", "+ −: nearer, farther");
    }
    if (!hints.length) return;
    if (steps.length) div.append(said);
    div.dataset.keys = hints.join("; ");
    div.setAttribute("role", "application"); // a screen reader hands the keys on
    div.setAttribute("aria-label", `${div.getAttribute("aria-label")} Keys: ${div.dataset.keys}.`);
    div.addEventListener("keydown", (event) => {
      if (event.target !== div || event.ctrlKey || event.altKey || event.metaKey) return;
      const arrow = event.shiftKey && event.key.startsWith("Arrow");
      const act = acts[arrow ? `Shift+${event.key}` : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  async function draw(div) {
    if (div.dataset.state) return;
    div.dataset.state = "drawing";
    const still = div.querySelector("img");
    const json = document.querySelector(`script[data-for="${div.id}"]`).textContent;
    const { data, layout = {}, frames = [], config = {} } = JSON.parse(json);
    try {
      await load();
      fit(layout, div.clientWidth);
      if (layout.height) div.style.minHeight = `${layout.height}px`;
      const options = { responsive: true, displayModeBar: false, ...config };
      await Plotly.newPlot(div, { data, layout, frames, config: options });
      await Plotly.relayout(div, look(div._fullLayout));
      keys(div);
      still?.remove();
      div.dataset.state = "drawn";
    } catch (error) {
      div.dataset.state = "failed";
      const reason = document.createElement("p");
      reason.textContent = `A still picture: ${error.message}.`;
      div.replaceChildren(...(still ? [still] : []));
      div.after(reason);
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
    for (const figure of figures) {
      figure.tabIndex = 0;
      watch.observe(figure);
    }
    // An animation that another interrupts is rejected, with no reason given: Pause is no failure.
    window.addEventListener("unhandledrejection", (event) => {
      if (figures.length && event.reason === undefined) event.preventDefault();
    });
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
