// Marks ranges of a text. The API counts Unicode characters, and JavaScript counts UTF-16 units.

import { h } from "./dom.js";

/** Returns nodes of a text with its ranges [start, end) marked; overlapping and wrong ranges do no harm. */
export function marked(text, ranges = []) {
  const points = Array.from(text);
  const nodes = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const from = Math.max(start, at);
    const to = Math.min(end, points.length);
    if (from >= to) continue;
    nodes.push(points.slice(at, from).join(""), h("mark", {}, points.slice(from, to).join("")));
    at = to;
  }
  nodes.push(points.slice(at).join(""));
  return nodes;
}

/** Returns [text, ranges] of a part of a long text around its first range, of at most so many characters. */
export function excerpt(text, ranges = [], characters = 420) {
  const points = Array.from(text);
  if (points.length <= characters) return [text, ranges];
  const first = ranges.length ? Math.min(...ranges.map(([start]) => start)) : 0;
  const from = Math.max(0, Math.min(first - Math.floor(characters / 4), points.length - characters));
  const to = from + characters;
  const before = from > 0 ? "…" : "";
  const shift = before.length - from;
  const kept = ranges.filter(([start, end]) => start >= from && end <= to).map(([start, end]) => [start + shift, end + shift]);
  return [before + points.slice(from, to).join("") + (to < points.length ? "…" : ""), kept];
}
