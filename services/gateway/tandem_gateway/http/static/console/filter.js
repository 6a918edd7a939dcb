// Rows of field, operator and value, and the filter of the API that they make.

import { fill, h, select } from "./dom.js";

/** Operators of a row: value → text, and whether it takes one value, a list, or none. */
export const OPERATORS = {
  $eq: ["is", "one"], $ne: ["is not", "one"], $lt: ["<", "one"], $lte: ["≤", "one"], $gt: [">", "one"], $gte: ["≥", "one"],
  $in: ["is one of", "list"], $nin: ["is none of", "list"], $contains: ["list contains", "one"],
  exists: ["exists", "none"], missing: ["is missing", "none"],
};

/** Returns the value that a text stands for: JSON's numbers, true, false, null and quoted strings, or else the text. */
export function valueOf(text) {
  const trimmed = text.trim();
  if (/^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|".*")$/s.test(trimmed)) {
    try {
      return JSON.parse(trimmed);
    } catch {
      return text;
    }
  }
  return trimmed;
}

/** Returns a value as the text that stands for it. */
export const textOf = (value) => (typeof value === "string" && valueOf(value) === value ? value : JSON.stringify(value));

/** Returns the parts of a list: separated by commas, except inside quotation marks. */
export function listOf(text) {
  const parts = text.match(/\s*"(?:[^"\\]|\\.)*"\s*|[^,]+/g) ?? [];
  return parts.map((part) => part.trim()).filter(Boolean).map(valueOf);
}

/** Returns the filter of rows {field, operator, value}; null without a complete one. */
export function filterOf(rows, all = true) {
  const parts = rows.filter(({ field, operator, value }) => field && (OPERATORS[operator][1] === "none" || value.trim()))
    .map(({ field, operator, value }) => {
      if (OPERATORS[operator][1] === "none") return { [field]: { $exists: operator === "exists" } };
      return { [field]: { [operator]: OPERATORS[operator][1] === "list" ? listOf(value) : valueOf(value) } };
    });
  if (parts.length <= 1) return parts[0] ?? null;
  return { [all ? "$and" : "$or"]: parts };
}

/** Returns {node, add, filter, rows}: the builder, which calls `changed` after each change. */
export function filterBuilder(changed, fields, rows = [], all = true) {
  const list = h("ul", { class: "rows plain" });
  const preview = h("code", { class: "preview" });
  const how = select([["all", "all of them"], ["any", "any of them"]], all ? "all" : "any", { "aria-label": "How many conditions must hold", onchange: tell });
  const howLine = h("p", { class: "row hint" }, "A document must fit", how);
  const names = h("datalist", { id: "filter-fields" }, fields.map((name) => h("option", { value: name })));

  const filter = () => filterOf(rows, how.value === "all");

  function tell() {
    draw();
    changed();
  }

  function draw() {
    const made = filter();
    preview.textContent = made ? JSON.stringify(made) : "";
    howLine.hidden = rows.length < 2;
  }

  function line(row) {
    const number = rows.indexOf(row) + 1;
    const value = h("input", {
      type: "text", value: row.value, "aria-label": `Value of condition ${number}`, placeholder: "value", dir: "auto",
      oninput: () => { row.value = value.value; tell(); },
    });
    const shown = () => { value.hidden = OPERATORS[row.operator][1] === "none"; };
    const operator = select(Object.entries(OPERATORS).map(([name, [text]]) => [name, text]), row.operator, {
      "aria-label": `Operator of condition ${number}`,
      onchange: () => { row.operator = operator.value; shown(); tell(); },
    });
    const name = h("input", {
      type: "text", value: row.field, list: "filter-fields", "aria-label": `Field of condition ${number}`, placeholder: "field", dir: "auto",
      oninput: () => { row.field = name.value.trim(); tell(); },
    });
    const drop = h("button", {
      type: "button", class: "quiet", "aria-label": `Remove condition ${number}`,
      onclick: () => { rows.splice(rows.indexOf(row), 1); lines(); tell(); plus.focus(); },
    }, "×");
    shown();
    return h("li", { class: "filter-row" }, name, operator, value, drop);
  }

  const lines = () => fill(list, rows.map(line));

  function add(row) {
    rows.push(row);
    lines();
    tell();
  }

  const plus = h("button", {
    type: "button",
    onclick: () => { add({ field: "", operator: "$eq", value: "" }); list.lastElementChild.querySelector("input").focus(); },
  }, "Add a condition");
  lines();
  draw();
  const node = h("div", { class: "filter" }, names, howLine, list, h("p", { class: "row" }, plus, preview),
    h("p", { class: "hint" }, "A number, true, false or null has its own type; write \"12\" for the text 12. Commas separate the values of a list."));
  return { node, add, filter, rows, all: () => how.value === "all" };
}
