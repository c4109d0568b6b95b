// The latent plane: a point that is moved, and what the generator draws there, from a grid of pictures.
lab.each("plane", (root, { limit, side, cells, start }) => {
  const svg = root.querySelector("svg");
  const { x: X, y: Y } = lab.scale(side, limit);
  const point = svg.querySelector("[data-point]");
  const picture = root.querySelector("[data-picture]");
  const said = root.querySelector("[data-said]");
  const alt = picture.getAttribute("aria-label");
  const step = (2 * limit) / (cells - 1);
  let z = [...start];

  function show() {
    const [column, row] = z.map((v) => Math.round((v + limit) / step));
    const at = [column, row].map((i) => i * step - limit);
    const share = (i) => `${(100 * i) / (cells - 1)}%`;
    picture.style.backgroundPosition = `${share(column)} ${share(row)}`;
    point.setAttribute("transform", `translate(${X(z[0]).toFixed(1)} ${Y(z[1]).toFixed(1)})`);
    const place = at.map((v) => lab.fixed(v)).join(", ");
    point.setAttribute("aria-label", `latent at ${place}`);
    picture.setAttribute("aria-label", `${alt} Now z = (${place}).`);
    said.textContent = `z = (${place})`;
    root.dataset.at = `${column} ${row}`;
  }

  const move = (p) => {
    z = p;
    show();
  };
  const at = lab.movable(svg, point, limit, () => z, move);
  svg.addEventListener("click", (event) => move(at(event)));
  show();
});
