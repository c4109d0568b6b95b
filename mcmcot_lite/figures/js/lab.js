// What the explorers share: points that mouse, finger and arrow keys move; controls; numbers as text.
const lab = {
  // Each explorer of a kind once, also where a page runs this script again.
  each(kind, start) {
    for (const root of document.querySelectorAll(`[data-lab="${kind}"]`)) {
      if (root.dataset.ready) continue;
      root.dataset.ready = "yes";
      const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
      const controls = root.querySelector("[data-controls]");
      if (controls) controls.hidden = false;
      start(root, data);
    }
  },

  // Plane and picture: a square of `side` pixels over [-limit, limit]^2.
  scale(side, limit) {
    const across = (x) => ((x + limit) / (2 * limit)) * side;
    return { x: across, y: (y) => side - across(y), back: (v) => (v / side) * 2 * limit - limit };
  },

  fixed(value, digits = 2) {
    const text = (Math.abs(value) < 0.5 / 10 ** digits ? 0 : value).toFixed(digits);
    return text.replace("-", "\u2212");
  },

  // Calls moved([x, y]) while a point is dragged, or stepped by the arrow keys.
  movable(svg, point, limit, read, moved) {
    const inside = (v) => Math.max(-limit, Math.min(limit, v));
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const across = (event.clientX - box.left) / box.width;
      const down = (event.clientY - box.top) / box.height;
      return [inside((2 * across - 1) * limit), inside((1 - 2 * down) * limit)];
    };
    point.style.touchAction = "none";
    point.style.cursor = "grab";
    point.addEventListener("pointerdown", (event) => {
      point.setPointerCapture(event.pointerId);
      point.focus({ preventScroll: true });
      event.preventDefault();
    });
    point.addEventListener("pointermove", (event) => {
      if (point.hasPointerCapture(event.pointerId)) moved(at(event));
    });
    point.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const step = (event.shiftKey ? 0.1 : 0.025) * limit;
      moved(read().map((v, i) => inside(v + way[i] * step)));
    });
    return at;
  },

  // A slider whose number is shown beside it; logarithmic where data-log is set.
  slider(root, name, changed) {
    const input = root.querySelector(`input[data-name="${name}"]`);
    const shown = root.querySelector(`output[data-name="${name}"]`);
    const value = () => {
      const v = Number(input.value);
      return input.dataset.log ? Number((10 ** v).toPrecision(2)) : v;
    };
    const show = () => {
      shown.textContent = String(value());
      input.setAttribute("aria-valuetext", `${input.dataset.name} ${value()}`);
    };
    input.addEventListener("input", () => {
      show();
      changed();
    });
    show();
    return { value, set: (v) => { input.value = input.dataset.log ? Math.log10(v) : v; show(); } };
  },

  // A button that plays: tick() until it returns false, or until it is pressed again.
  player(button, milliseconds, tick) {
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      button.textContent = "Pause";
      timer = setInterval(() => {
        if (!button.isConnected || tick() === false) stop();
      }, milliseconds);
    });
    return stop;
  },

  // Normal draws that a seed repeats (a linear congruence of 32 bits mixed, then Box and Muller).
  normals(seed) {
    let state = (seed * 2654435761) >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  },
};
