// Langevin chains on a posterior that a grid holds: step, number of steps, temperature, start.
lab.each("chains", (root, { grid, limit, side, start, chains, exact }) => {
  const svg = root.querySelector("svg");
  const { x: X, y: Y } = lab.scale(side, limit);
  const [paths, ends] = ["path", "end"].map((name) => [...svg.querySelectorAll(`[data-${name}]`)]);
  const mark = svg.querySelector("[data-start]");
  const said = root.querySelector("[data-said]");
  const m = grid.length;
  const h = (2 * limit) / (m - 1);
  let from = [...start];
  let seed = 1;

  // Catmull and Rom's cubic through four values: value weights and slope weights at f in [0, 1].
  const cubic = (f) => [
    [((2 - f) * f - 1) * f / 2, ((3 * f - 5) * f * f + 2) / 2, ((4 - 3 * f) * f + 1) * f / 2, (f - 1) * f * f / 2],
    [((4 - 3 * f) * f - 1) / 2, (9 * f - 10) * f / 2, ((8 - 9 * f) * f + 1) / 2, (3 * f - 2) * f / 2],
  ];

  // Gradient of the grid's bicubic, at a point inside.
  function inside(p) {
    const [u, v] = p.map((c) => (c + limit) / h);
    const [i, j] = [u, v].map((c) => Math.max(1, Math.min(m - 3, Math.floor(c))));
    const [ax, dx] = cubic(u - i);
    const [ay, dy] = cubic(v - j);
    let [gx, gy] = [0, 0];
    for (let b = 0; b < 4; b++) {
      for (let a = 0; a < 4; a++) {
        const value = grid[j + b - 1][i + a - 1];
        gx += dx[a] * ay[b] * value;
        gy += ax[a] * dy[b] * value;
      }
    }
    return [gx / h, gy / h];
  }

  // Outside it goes on in a straight line, at least as steep as the prior's.
  function slope(p) {
    const edge = limit - h;
    const near = p.map((v) => Math.max(-edge, Math.min(edge, v)));
    const g = inside(near);
    return g.map((value, i) => {
      const beyond = p[i] - near[i];
      if (beyond === 0) return value;
      const before = [...near];
      before[i] -= Math.sign(beyond) * h;
      const bend = (value - inside(before)[i]) / (Math.sign(beyond) * h);
      return value + Math.min(-1, bend) * beyond;
    });
  }

  const controls = ["step s", "steps K", "temperature"].map((name) => lab.slider(root, name, () => show()));
  const [s, K, heat] = controls;

  function run(steps) {
    const normal = lab.normals(seed);
    const found = [];
    for (let c = 0; c < chains; c++) {
      let z = [...from];
      const path = [z];
      for (let k = 0; k < steps; k++) {
        const g = slope(z);
        const noise = s.value() * Math.sqrt(heat.value());
        z = z.map((v, i) => v + (s.value() ** 2 / 2) * g[i] + noise * normal());
        path.push(z);
        if (!z.every((v) => Math.abs(v) < 1e6)) break; // it has run away
      }
      found.push(path);
    }
    return found;
  }

  function moments(points) {
    const mean = [0, 1].map((i) => points.reduce((sum, p) => sum + p[i], 0) / points.length);
    const spread = [0, 1].map((i) => Math.sqrt(points.reduce((sum, p) => sum + (p[i] - mean[i]) ** 2, 0) / points.length));
    return { mean, spread };
  }

  function show() {
    const found = run(K.value());
    const clipped = (p) => p.map((v) => Math.max(-9 * limit, Math.min(9 * limit, v)));
    const text = (p) => { const [x, y] = clipped(p); return `${X(x).toFixed(1)},${Y(y).toFixed(1)}`; };
    const sound = found.every((path) => path.every((p) => p.every(Number.isFinite)));
    paths.forEach((path, c) => path.setAttribute("points", sound ? found[c].map(text).join(" ") : ""));
    const last = found.map((path) => path[path.length - 1]);
    ends.forEach((end, c) => {
      const [x, y] = sound ? clipped(last[c]) : [9 * limit, 9 * limit];
      end.setAttribute("cx", X(x).toFixed(1));
      end.setAttribute("cy", Y(y).toFixed(1));
    });
    mark.setAttribute("transform", `translate(${X(from[0]).toFixed(1)} ${Y(from[1]).toFixed(1)})`);
    mark.setAttribute("aria-label", `start of all chains, at ${from.map((v) => lab.fixed(v)).join(", ")}`);
    const { mean, spread } = moments(last);
    const pair = (p) => p.map((v) => lab.fixed(v)).join(", ");
    const far = !sound || Math.max(...mean.map(Math.abs), ...spread) > 5 * limit;
    said.textContent = far
      ? "The chains have run away: this step is beyond the stability limit."
      : `Ends of ${chains} chains: mean (${pair(mean)}), deviation (${pair(spread)}). Posterior: mean (${pair(exact.mean)}), deviation (${pair(exact.spread)}).`;
    Object.assign(root.dataset, { ends: JSON.stringify(last), slope: JSON.stringify(slope(from)) });
  }

  const input = root.querySelector('input[data-name="steps K"]');
  const stop = lab.player(root.querySelector("[data-play]"), 60, () => {
    if (K.value() >= Number(input.max)) return false;
    K.set(K.value() + 1);
    show();
  });
  root.querySelector("[data-play]").addEventListener("click", (event) => {
    if (event.target.textContent === "Pause" && K.value() >= Number(input.max)) K.set(0);
  });
  root.querySelector("[data-noise]").addEventListener("click", () => {
    seed += 1;
    show();
  });
  input.addEventListener("input", stop);
  lab.movable(svg, mark, limit, () => from, (p) => {
    from = p;
    show();
  });
  show();
});
