// What a figure draws, as text: its picture alone, never the control that changes it.

// The attributes and the words of the parts that a selector names; of a part with a sheet behind it,
// the pixels that it shows.
async function drawnParts(figure, selector) {
  const parts = [...figure.querySelectorAll(selector)];
  const texts = parts.map(async (part) => {
    if (part.matches("[data-picture]")) return shownPixels(part);
    return [...part.attributes].map(({ name, value }) => `${name}=${value}`).join(" ") + part.textContent;
  });
  return (await Promise.all(texts)).join("\n");
}

// The part of a sheet that CSS shows: its size and place, in per cent, say which.
async function shownPixels(picture) {
  const style = getComputedStyle(picture);
  const shares = (text) => text.split(" ").map((share) => parseFloat(share) / 100);
  const sheet = (picture.sheet ??= Object.assign(new Image(), { src: /url\("?([^")]*)/.exec(style.backgroundImage)[1] }));
  await sheet.decode();
  const [w, h] = shares(style.backgroundSize).map((share, i) => [sheet.width, sheet.height][i] / share);
  const [x, y] = shares(style.backgroundPosition);
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(w), height: Math.round(h) });
  canvas.getContext("2d").drawImage(sheet, x * (sheet.width - w), y * (sheet.height - h), w, h, 0, 0, w, h);
  return canvas.toDataURL();
}

// Plotly's traces: what is inside its axes, or what its scene shows and from where.
function drawnTraces(figure) {
  const scene = figure._fullLayout.scene?._scene;
  if (scene) {
    const shown = Object.values(scene.traces).map(({ data: { x, y, z } }) => [x, y, z]);
    return JSON.stringify([scene.getCamera(), shown]);
  }
  const look = ({ attributes }) => ["d", "transform", "x", "y", "href"].map((name) => attributes[name]?.value).join();
  return [...figure.querySelectorAll(".overplot :is(path, image, text), .plot :is(path, image, text)")].map(look).join("\n");
}

// Names of the frames that hold what the frame before them holds.
function repeatedFrames(figure) {
  const frames = figure._transitionData._frames ?? [];
  const data = frames.map((frame) => JSON.stringify(frame.data));
  return frames.filter((_, k) => k && data[k] === data[k - 1]).map(({ name }) => name);
}

// The middle of a target, seen.
function middle(target) {
  target.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, top, width, height } = target.getBoundingClientRect();
  return [left + width / 2, top + height / 2];
}

// Where the mouse can take a target that others may cover in part.
function freeSpot(target) {
  target.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, top, width, height } = target.getBoundingClientRect();
  const shares = [0.5, 0.35, 0.65, 0.2, 0.8];
  const spots = shares.flatMap((a) => shares.map((b) => [left + a * width, top + b * height]));
  return spots.find(([x, y]) => target.contains(document.elementFromPoint(x, y))) ?? null;
}
