// Search as you type, its three modes, its filter, and what it says when something goes wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";
import { OPEN, shared } from "./shared.mjs";

const SEARCH = "**/v1/search";
const ids = (page, mode) => page.locator(`[data-mode=${mode}] .hit-id`).allTextContents();
const opened = (path, options) => open(shared.browser, OPEN, path, options);

async function close(page, expected = []) {
  assert.deepEqual(page.complaints, expected);
  await page.context().close();
}

test("a search as you type shows three modes with their scores and parts", async () => {
  const page = await opened("#/search?collection=library");
  await page.locator("#query:focus").waitFor();
  await page.keyboard.type("a cat on a rug");
  for (const mode of ["hybrid", "dense", "lexical"]) await page.locator(`[data-mode=${mode}] .hit-id`, { hasText: "cat-on-mat" }).waitFor();
  const hit = page.locator("[data-mode=hybrid] .hit[data-id='cat-on-mat']");
  assert.match(await hit.locator(".part.dense").textContent(), /^Meaning #\d+: cosine 0\.\d+ → 0\.\d+$/);
  assert.match(await hit.locator(".part.lexical").textContent(), /^Words #1: BM25 /);
  assert.ok((await hit.locator("mark").allTextContents()).includes("cat"));
  assert.match(await hit.locator(".chips").textContent(), /topic animals.*year 1968/);
  assert.match(await page.locator("[data-mode=lexical] .took summary").textContent(), /\d ms/);
  await page.locator("[data-mode=hybrid] .took summary").click();
  assert.match(await page.locator("[data-mode=hybrid] .figures").textContent(), /candidates: dense/);
  assert.match(await page.locator("#search-status").textContent(), /^Hybrid: 10 hits, Meaning: 10 hits, Words: \d+ hits?\.$/);
  assert.match(page.url(), /q=a\+cat\+on\+a\+rug/);
  await page.locator("#shown").selectOption("lexical");
  assert.equal(await page.locator(".column:visible").count(), 1);
  await close(page);
});

test("an answer that is out of date is dropped, whenever it comes", async () => {
  const page = await opened("#/search?collection=library&show=lexical");
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  let first = true;
  const arrived = new Promise((resolve) => {
    page.route(SEARCH, async (route) => {
      if (!first) return route.continue();
      first = false;
      resolve();
      await held;
      return route.continue().catch(() => {});
    });
  });
  await page.locator("#query").pressSequentially("whales");
  await arrived;
  await page.locator("#query").fill("comet");
  await page.locator(".hit-id", { hasText: "comet" }).waitFor();
  release();
  await page.locator("#query").fill("telescope");
  await page.locator(".hit-id", { hasText: "telescope" }).waitFor();
  assert.deepEqual(await ids(page, "lexical"), ["telescope"]);
  await page.locator("#query").fill("");
  await page.locator(".columns").waitFor({ state: "hidden" });
  await close(page);
});

test("the filter builder and a click at a value narrow all three modes", async () => {
  const page = await opened("#/search?collection=library&q=water");
  await page.locator("[data-mode=dense] .hit").nth(5).waitFor();
  await page.locator(".filters > summary").click();
  await page.getByRole("button", { name: "Add a condition" }).click();
  await page.getByLabel("Field of condition 1").fill("year");
  await page.getByLabel("Operator of condition 1").selectOption("$gte");
  await page.getByLabel("Value of condition 1").fill("2015");
  await page.locator("code.preview", { hasText: "{\"year\":{\"$gte\":2015}}" }).waitFor();
  const expected = ["hike", "holiday", "invoice", "kitten", "refund", "visa"];
  await page.waitForFunction((count) => document.querySelectorAll("[data-mode=dense] .hit").length === count, expected.length);
  assert.deepEqual((await ids(page, "dense")).sort(), expected);
  await page.locator("[data-mode=dense] .chip", { hasText: "tags pets" }).first().click();
  await page.waitForFunction(() => document.querySelectorAll("[data-mode=dense] .hit").length === 1);
  assert.deepEqual(await ids(page, "dense"), ["kitten"]);
  assert.equal(await page.locator("code.preview").textContent(), "{\"$and\":[{\"year\":{\"$gte\":2015}},{\"tags\":{\"$contains\":\"pets\"}}]}");
  await page.reload();
  await page.locator("[data-mode=dense] .hit").waitFor();
  assert.deepEqual(await ids(page, "dense"), ["kitten"]);
  await page.getByLabel("Operator of condition 1").selectOption("$gt");
  await page.getByLabel("Value of condition 1").fill("true");
  await page.locator("[data-mode=dense] .failure", { hasText: "filter.$and[0].year.$gt" }).waitFor();
  await page.getByRole("button", { name: "Remove condition 1" }).click();
  await page.locator("[data-mode=dense] .hit").nth(2).waitFor();
  await close(page);
});

test("a text that would be code in HTML stays a text in every view", async () => {
  const page = await opened("#/search?collection=library&q=pet+that+attacks");
  await page.locator("[data-mode=lexical] .hit[data-id=attack]").waitFor();
  assert.match(await page.locator("[data-mode=lexical] .hit[data-id=attack] .passage").textContent(), /<img src=x onerror=/);
  for (const [path, place] of [["documents/library/attack", ".text"], ["collections/library", ".facet"], ["map?collection=library", "canvas"], ["jobs", "td"]]) {
    await page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
    await page.locator(`main ${place}`).first().waitFor();
    assert.equal(await page.locator("main img, main script, main b:not([dir])").count(), 0, path);
  }
  await page.evaluate(() => { location.hash = "#/documents/library/%3Cimg src=x onerror='window.attacked=1'%3E"; });
  await page.locator(".failure").waitFor();
  assert.equal(await page.evaluate(() => window.attacked), undefined);
  const refused = await page.evaluate(() => { try { document.body.innerHTML = "<b>x</b>"; return "taken"; } catch (error) { return error.name; } });
  assert.equal(refused, "TypeError");
  await close(page, page.complaints.filter((text) => text.includes("require-trusted-types-for") || text.includes("TrustedHTML")));
});

test("a text from right to left is shown so", async () => {
  const page = await opened(`#/search?collection=library&q=${encodeURIComponent("القطة")}&show=lexical`);
  const passage = page.locator(".hit .passage").first();
  await passage.waitFor();
  assert.equal(await passage.evaluate((node) => getComputedStyle(node).direction), "rtl");
  await close(page);
});

test("each error has a state that says what helps", async () => {
  const page = await opened("#/search?collection=library&show=lexical");
  const answer = (status, code, headers = {}) => ({ status, headers, contentType: "application/json", body: JSON.stringify({ error: { message: `said by ${code}`, code, param: null } }) });
  let next = answer(429, "rate_limited", { "retry-after": "1" });
  await page.route(SEARCH, (route) => {
    const now = next;
    if (now === "gone") return route.abort();
    next = null;
    return now ? route.fulfill(now) : route.continue();
  });
  const failure = page.locator(".failure");
  await page.locator("#query").fill("comet");
  await failure.getByText("Too many requests").waitFor();
  await failure.getByText("Tries again in 1 s.").waitFor();
  await page.locator(".hit-id", { hasText: "comet" }).waitFor();  // by itself, after the Retry-After
  next = answer(403, "forbidden");
  await page.locator("#query").fill("comets");
  await failure.getByText("This key does not allow it").waitFor();
  next = "gone";
  await page.locator("#query").fill("comet");
  await failure.getByText("The gateway does not answer", { exact: true }).waitFor();
  next = null;
  await failure.getByRole("button", { name: "Try again" }).click();
  await page.locator(".hit-id", { hasText: "comet" }).waitFor();
  next = { status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" };
  await page.locator("#query").fill("comets");
  await failure.getByText("the answer has the status 502").waitFor();
  await close(page);
});

test("a degraded answer and warnings are shown", async () => {
  const page = await opened("#/search?collection=library&show=hybrid");
  const reply = { results: [], took_ms: 3, mode: "lexical", degraded: true, query_truncated: true, warnings: ["unknown_tokens", "a_new_one"] };
  await page.route(SEARCH, (route) => route.fulfill({ json: reply }));
  await page.locator("#query").fill("x");
  await page.getByText("Degraded: only keyword search could answer.").waitFor();
  assert.equal(await page.locator("[data-mode=hybrid] .warning").count(), 4);
  await page.getByText("Nothing found").waitFor();
  await close(page);
});
