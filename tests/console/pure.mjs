// Functions without a page, tested where they run: in the browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";
import { OPEN, shared } from "./shared.mjs";

const load = (page, file) => page.evaluateHandle((name) => {
  const app = document.querySelector("script[type=module]").src;
  return import(new URL(name, app).href);
}, file);

test("functions without a page", async (t) => {
  const page = await open(shared.browser, OPEN, "#/search");

  await t.test("a filter keeps the types of its values", async () => {
    const filter = await load(page, "filter.js");
    const made = (rows, all) => filter.evaluate((module, [given, every]) => module.filterOf(given, every), [rows, all]);
    const row = (field, operator, value) => ({ field, operator, value });
    assert.deepEqual(await made([row("year", "$gte", "1960")], true), { year: { $gte: 1960 } });
    assert.deepEqual(await made([row("year", "$eq", "\"1960\"")], true), { year: { $eq: "1960" } });
    assert.deepEqual(await made([row("a", "$in", "1, \"x, y\", true")], true), { a: { $in: [1, "x, y", true] } });
    assert.deepEqual(await made([row("a", "missing", ""), row("b", "$ne", "x")], true), { $and: [{ a: { $exists: false } }, { b: { $ne: "x" } }] });
    assert.deepEqual(await made([row("a", "$eq", "1"), row("a", "$eq", "2")], false), { $or: [{ a: { $eq: 1 } }, { a: { $eq: 2 } }] });
    assert.equal(await made([row("", "$eq", "1"), row("a", "$eq", " ")], true), null);
    for (const value of ["x", "12", "", "true", "null", "\"q\"", "01", " a ", "NaN", "1e999x", 12, true, null, -0.5]) {
      assert.equal(await filter.evaluate((module, given) => module.valueOf(module.textOf(given)), value), value, JSON.stringify(value));
    }
  });

  await t.test("marks count characters, not UTF-16 units, and wrong ranges do no harm", async () => {
    const highlight = await load(page, "highlight.js");
    const html = (text, ranges) => highlight.evaluate((module, given) => {
      const node = document.createElement("p");
      node.append(...module.marked(...given));
      return node.innerHTML;
    }, [text, ranges]);
    assert.equal(await html("🐈 cat", [[2, 5]]), "🐈 <mark>cat</mark>");
    assert.equal(await html("a<b", [[0, 2], [1, 3], [9, 12], [2, 1]]), "<mark>a&lt;</mark><mark>b</mark>");
    const long = `${"x".repeat(900)} needle ${"y".repeat(900)}`;
    const [text, ranges] = await highlight.evaluate((module, given) => module.excerpt(given, [[901, 907]]), long);
    assert.ok(text.startsWith("…") && text.endsWith("…") && text.length < 450);
    assert.equal(text.slice(...ranges[0]), "needle");
  });

  await t.test("metrics give rates and quantiles", async () => {
    const metrics = await load(page, "metrics.js");
    const found = await metrics.evaluate((module) => {
      const text = (a, b, c) => `# HELP t x\nt_bucket{le="0.1",route="/a\\"b"} ${a}\nt_bucket{le="1",route="/a\\"b"} ${b}\nt_bucket{le="+Inf",route="/a\\"b"} ${c}\nn_total ${c} 1700000000\n`;
      const [first, last] = [{ at: 0, samples: module.parseMetrics(text(10, 10, 10)) }, { at: 2000, samples: module.parseMetrics(text(15, 20, 20)) }];
      const labels = { route: "/a\"b" };
      return [module.rate(first, last, "n_total"), module.quantile(0.5, first, last, "t", labels), module.quantile(0.75, first, last, "t", labels),
        module.quantile(0.5, last, last, "t", labels), module.rate(first, last, "absent")];
    });
    assert.deepEqual(found.map((value) => value && Number(value.toFixed(6))), [5, 0.1, 0.55, null, null]);
  });

  await t.test("the map finds the two directions of the greatest variance", async () => {
    const pca = await load(page, "pca.js");
    const { points, shares } = await pca.evaluate((module) => module.project([[0, 0, 5], [4, 0, 5], [8, 0, 5], [4, 1, 5], [4, -1, 5]]));
    assert.deepEqual(points.map(([x, y]) => [Math.abs(Math.round(x)), Math.abs(Math.round(y))]), [[4, 0], [0, 0], [4, 0], [0, 1], [0, 1]]);
    assert.ok(Math.abs(shares[0] + shares[1] - 1) < 1e-9);
    assert.deepEqual(await pca.evaluate((module) => module.project([[1, 1], [1, 1]])), { points: [[0, 0], [0, 0]], shares: [0, 0] });
    assert.deepEqual(await pca.evaluate((module) => module.project([]).points), []);
  });

  assert.deepEqual(page.complaints, []);
  await page.context().close();
});
