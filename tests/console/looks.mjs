// Every view: rules of accessibility in both colours, 320 pixels, the keyboard.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, open, tooWide } from "./browser.mjs";
import { KEY, LOCKED, OPEN, shared } from "./shared.mjs";

// Address → selector of what shows that the view has its data.
const VIEWS = {
  "search?collection=library&q=a+pet&f=[{\"field\":\"year\",\"operator\":\"$gt\",\"value\":\"1900\"}]": ".hit",
  "search?collection=empty&q=a+pet": ".empty",
  collections: ".card h2",
  "collections/library": ".facet",
  ingest: ".drop",
  jobs: "tbody tr",
  "documents/library/cat-on-mat?start=0&end=5": ".hit",
  "documents/library/absent": ".failure",
  "map?collection=library": "canvas",
  status: ".chart",
  keys: ".empty",
  "sign-in": "form",
};

test("every view keeps the rules of accessibility, in both colours, and fits 320 pixels", async () => {
  const page = await open(shared.browser, OPEN, "#/search");
  const found = [];
  for (const [path, ready] of Object.entries(VIEWS)) {
    await page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
    await page.locator(`main ${ready}`).first().waitFor();
    await page.waitForFunction(() => !document.querySelector("main .loading"));
    for (const [colorScheme, width, looks] of [["light", 1280, false], ["dark", 320, true]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      found.push(...(await axe(page, { looks })).map((line) => `${path} ${colorScheme}: ${line}`));
      found.push(...(await tooWide(page)).map((line) => `${path} ${width}: too wide: ${line}`));
    }
  }
  assert.deepEqual(found, []);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("the keys, a dialog and the switch of the colours keep the rules, too", async () => {
  const page = await open(shared.browser, LOCKED, "#/keys", { key: KEY });
  await page.locator("tbody tr, .empty").first().waitFor();
  assert.deepEqual(await axe(page), []);
  await page.getByLabel("Name").fill("x");
  await page.getByRole("button", { name: "Make the key" }).click();
  await page.getByRole("dialog").waitFor();
  assert.deepEqual(await axe(page), []);
  await page.keyboard.press("Escape");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByLabel("Colours").selectOption("light");
  const light = await background();
  await page.getByLabel("Colours").selectOption("dark");
  assert.notEqual(await background(), light);
  await page.reload();
  assert.notEqual(await background(), light);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("the keyboard reaches the content, the hits and their values, and a new view takes the focus", async () => {
  const page = await open(shared.browser, OPEN, "#/search?collection=library&q=comet&show=lexical");
  await page.locator(".hit").waitFor();
  await page.locator(".brand").focus();
  await page.keyboard.press("Shift+Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.match(page.url(), /q=comet/);
  const reached = [];
  for (let press = 0; press < 16; press += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName));
    if (reached.at(-1) === "BODY") break;
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(ring, "none", reached.at(-1));
  }
  assert.deepEqual(reached.slice(0, 1), ["query"]);
  for (const expected of ["hit-id", "chip"]) assert.ok(reached.includes(expected), `${expected}: ${reached}`);
  await page.locator(".hit-id").first().focus();
  await page.keyboard.press("Enter");
  await page.locator(".text").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.equal(await page.title(), "comet · Tandem");
  await page.goBack();
  await page.locator("[data-mode=lexical] .hit").waitFor();
  assert.equal(await page.locator("#query").inputValue(), "comet");
  await page.context().close();
});
