// Laguerre cells of the plane: drag a target, or let the bonuses h descend on E.
lab.each("cells", (root, { sources, targets, limit, side, rims }) => {
  const svg = root.querySelector("svg");
  const { x: X, y: Y } = lab.scale(side, limit);
  const parts = (name) => [...svg.querySelectorAll(`[data-${name}]`)];
  const [areas, ways, diamonds, counts] = ["area", "way", "target", "count"].map(parts);
  const said = root.querySelector("[data-said]");
  const k = targets.length;
  const place = targets.map((p) => [...p]);
  let h = new Array(k).fill(0);
  let t = 0;

  const score = ([a, b], j) => a * place[j][0] + b * place[j][1] + h[j];
  const winner = (p) => place.reduce((best, _, j) => (score(p, j) > score(p, best) ? j : best), 0);

  // The part of a convex polygon where a x + b y + c >= 0.
  function cut(polygon, a, b, c) {
    const kept = [];
    polygon.forEach(([x, y], i) => {
      const [u, v] = polygon[(i + 1) % polygon.length];
      const [here, there] = [a * x + b * y + c, a * u + b * v + c];
      if (here >= 0) kept.push([x, y]);
      if (here >= 0 !== there >= 0) {
        const s = here / (here - there);
        kept.push([x + s * (u - x), y + s * (v - y)]);
      }
    });
    return kept;
  }

  function cell(j) {
    let polygon = [[-limit, -limit], [limit, -limit], [limit, limit], [-limit, limit]];
    for (let i = 0; i < k && polygon.length; i++) {
      if (i !== j) polygon = cut(polygon, place[j][0] - place[i][0], place[j][1] - place[i][1], h[j] - h[i]);
    }
    return polygon;
  }

  function numbers() {
    const own = sources.map(winner);
    const count = new Array(k).fill(0);
    for (const j of own) count[j] += 1;
    const square = (p) => p[0] ** 2 + p[1] ** 2;
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    const energy = mean(sources.map((p, i) => score(p, own[i]))) - mean(h);
    const bound = mean(sources.map(square)) + mean(place.map(square)) - 2 * energy;
    const cost = mean(sources.map((p, i) => square([p[0] - place[own[i]][0], p[1] - place[own[i]][1]])));
    return { own, count, bound, cost };
  }

  function show() {
    const { own, count, bound, cost } = numbers();
    areas.forEach((area, j) => area.setAttribute("points", cell(j).map(([x, y]) => `${X(x).toFixed(1)},${Y(y).toFixed(1)}`).join(" ")));
    ways.forEach((way, i) => {
      const end = place[own[i]];
      for (const [key, value] of [["x1", X(sources[i][0])], ["y1", Y(sources[i][1])], ["x2", X(end[0])], ["y2", Y(end[1])]]) way.setAttribute(key, value.toFixed(1));
    });
    diamonds.forEach((diamond, j) => {
      const [x, y] = place[j];
      diamond.setAttribute("transform", `translate(${X(x).toFixed(1)} ${Y(y).toFixed(1)})`);
      diamond.setAttribute("aria-label", `target ${j + 1} at ${lab.fixed(x)}, ${lab.fixed(y)}, sources: ${count[j]}`);
      diamond.firstElementChild.setAttribute("stroke", rims[count[j] === 1 ? 0 : 1]);
      counts[j].textContent = String(count[j]);
    });
    const right = count.filter((c) => c === 1).length;
    const done = right === k;
    const rest = done ? `the map costs ${lab.fixed(cost, 3)}, and no map can cost less` : `no map costs less than ${lab.fixed(bound, 3)}`;
    said.textContent = `Step ${t}. Cells with one source: ${right} of ${k}; ${rest}.`;
    Object.assign(root.dataset, { steps: t, right, bound: bound.toFixed(6), cost: cost.toFixed(6), own: own.join(" ") });
    return done;
  }

  const size = lab.slider(root, "step size", () => {});

  function step() {
    const { count } = numbers();
    const length = size.value() / (1 + t / 60);
    h = h.map((value, j) => value - length * (count[j] - 1));
    t += 1;
    return !show();
  }

  const stop = lab.player(root.querySelector("[data-play]"), 120, step);
  root.querySelector("[data-step]").addEventListener("click", () => {
    stop();
    step();
  });
  root.querySelector("[data-reset]").addEventListener("click", () => {
    stop();
    targets.forEach((p, j) => { place[j] = [...p]; });
    h = h.map(() => 0);
    t = 0;
    show();
  });
  diamonds.forEach((diamond, j) => {
    lab.movable(svg, diamond, limit, () => place[j], (p) => {
      place[j] = p;
      t = 0;  // steps are long again: there is another minimum to find
      show();
    });
  });
  show();
});
