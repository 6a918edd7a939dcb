// Numbers, times and metadata as texts.

const whole = new Intl.NumberFormat("en");
const times = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

/** Returns a number with thousands separators; a dash if it is not known. */
export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));

/** Returns "1 document" or "2 documents". */
export const several = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Returns a score with three significant digits, and not more than four after the point. */
export function score(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.0001) return value.toExponential(1);
  return size < 1 ? value.toFixed(size < 0.01 ? 4 : 3) : value.toPrecision(size < 1000 ? 3 : 4);
}

/** Returns milliseconds as a text. */
export const milliseconds = (value) => (value === null || value === undefined ? "–"
  : value < 10 ? `${value.toFixed(1)} ms` : value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

/** Returns bytes in binary units. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let left = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (left < 1024) return `${unit === "B" || left >= 100 ? Math.round(left) : left.toFixed(1)} ${unit}`;
    left /= 1024;
  }
  return `${left.toFixed(1)} TiB`;
}

/** Returns a time of the API in the zone of the browser; a dash for null. */
export const time = (value) => (value ? times.format(new Date(value)) : "–");

/** Returns seconds as "12 s" or "3 min". */
export const seconds = (value) => (value < 90 ? `${Math.ceil(value)} s` : `${Math.round(value / 60)} min`);

/** Returns a value of metadata as a text. */
export const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Returns [path, value] for each value of metadata; a dot reaches into an object, as in a filter. */
export function flat(metadata, prefix = "") {
  return Object.entries(metadata ?? {}).flatMap(([name, value]) => {
    const path = prefix + name;
    const inside = value !== null && typeof value === "object" && !Array.isArray(value);
    return inside ? flat(value, `${path}.`) : [[path, value]];
  });
}

/** Returns a text of at most so many characters, with an ellipsis if it was longer. */
export function short(text, characters) {
  const points = Array.from(text.slice(0, characters * 2 + 2));
  return points.length > characters ? `${points.slice(0, characters).join("")}…` : text;
}
