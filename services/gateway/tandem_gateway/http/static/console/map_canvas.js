// Draws the dots of a map, and finds the dot under the pointer.

/** Colours of groups: names of variables of the style sheet; the last is for all other values. */
export const PALETTE = ["--map-0", "--map-1", "--map-2", "--map-3", "--map-4", "--map-5", "--map-6", "--map-other"];

const RADIUS = 4.5;
const EDGE = 16;
const REACH = 14;

/** Returns a function from a point to its place on the canvas, in CSS pixels. */
function placing(canvas, points) {
  const box = { width: canvas.clientWidth, height: canvas.clientHeight };
  const spans = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { low, size: high - low || 1 };
  });
  return ([x, y]) => [
    EDGE + ((x - spans[0].low) / spans[0].size) * (box.width - 2 * EDGE),
    box.height - EDGE - ((y - spans[1].low) / spans[1].size) * (box.height - 2 * EDGE),
  ];
}

/** Draws the points [x, y] in the colours of their groups; `held` is the index of the marked one, or -1. */
export function drawMap(canvas, points, groups, held) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const dense = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  // A canvas does not know light-dark(): the style of an element resolves it.
  const probe = document.createElement("span");
  canvas.parentElement?.append(probe);
  const colours = PALETTE.map((name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; });
  probe.style.color = "var(--text)";
  const text = getComputedStyle(probe).color;
  probe.remove();
  const place = placing(canvas, points);
  const dot = (at, radius) => {
    const [x, y] = place(points[at]);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
  };
  pen.globalAlpha = 0.8;
  points.forEach((_, at) => {
    pen.fillStyle = colours[groups[at]] ?? colours[0];
    dot(at, RADIUS);
    pen.fill();
  });
  pen.globalAlpha = 1;
  if (held >= 0 && points[held]) {
    pen.strokeStyle = text;
    pen.lineWidth = 2;
    dot(held, RADIUS + 3);
    pen.stroke();
  }
}

/** Returns the index of the point nearest to the pointer, or -1 if none is within reach. */
export function nearest(canvas, points, event) {
  const place = placing(canvas, points);
  let [found, least] = [-1, REACH * REACH];
  points.forEach((point, at) => {
    const [x, y] = place(point);
    const distance = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
    if (distance < least) [found, least] = [at, distance];
  });
  return found;
}
