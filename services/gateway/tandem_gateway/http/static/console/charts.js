// Small charts of the last readings, with a text that says the same.

import { h, svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 56;

/** Returns a chart of lines.

 * lines: [{name, values, kind}], where a value is a number or null for a gap, and kind is a colour of the style sheet.
 * text: function from a value to its text. most: number of readings that the chart has room for. top: value that the
 * chart reaches at least.
 */
export function chart(title, lines, { text, most, top = 0 }) {
  const highest = Math.max(...lines.flatMap(({ values }) => values.filter((value) => value !== null)), 0);
  const scale = Math.max(top, highest) > 0 ? (HEIGHT - 6) / Math.max(top, highest) : 0;
  const x = (index, length) => WIDTH - ((length - 1 - index) * WIDTH) / (most - 1);
  const path = (values) => {
    let drawn = "";
    let gap = true;
    values.forEach((value, index) => {
      if (value === null) { gap = true; return; }
      drawn += `${gap ? "M" : "L"}${x(index, values.length).toFixed(1)} ${(HEIGHT - 3 - value * scale).toFixed(1)}`;
      gap = false;
    });
    return drawn;
  };
  const now = lines.map(({ name, values, kind }) => h("span", { class: `now ${kind}` },
    lines.length > 1 && h("small", {}, `${name} `), values.length && values.at(-1) !== null ? text(values.at(-1)) : "–"));
  return h("figure", { class: "card chart" },
    h("figcaption", {}, title), h("p", { class: "row" }, now),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { d: `M0 ${HEIGHT - 1.5}H${WIDTH}`, class: "axis" }),
      lines.map(({ values, kind }) => svg("path", { d: path(values), class: `line ${kind}` }))),
    h("p", { class: "hint" }, `highest: ${highest > 0 ? text(highest) : "–"}`));
}
