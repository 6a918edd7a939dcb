// Takes a picture of each view: wide and narrow, light and dark.

import { launch, open } from "./browser.mjs";

const OUT = process.env.CONSOLE_PICTURES;
const LARGE = { width: 1280, height: 860 };
const SMALL = { width: 360, height: 760 };

// Name → address, what shows that the view has its data, and seconds that its charts need.
const VIEWS = {
  search: ["search?collection=library&q=something+warm+to+drink", "[data-mode=lexical] .hit, [data-mode=lexical] .empty", 0],
  filter: ["search?collection=library&q=a+pet&f=[{\"field\":\"year\",\"operator\":\"$gte\",\"value\":\"1990\"}]", ".hit", 0],
  collections: ["collections", ".card h2", 0],
  collection: ["collections/library", ".facet", 0],
  ingest: ["ingest?collection=library", ".drop", 0],
  jobs: ["jobs", "tbody tr", 0],
  document: ["documents/library/tea?start=0&end=70", ".hit", 0],
  map: ["map?collection=python-stdlib", "canvas", 0],
  status: ["status", ".chart", 14],
  keys: ["keys", ".empty, tbody tr", 0],
  "sign-in": ["sign-in", "form", 0],
};

const browser = await launch();
const locked = { url: process.env.CONSOLE_LOCKED_URL, key: process.env.CONSOLE_KEY };
for (const [name, [path, ready, seconds]] of Object.entries(VIEWS)) {
  const where = name === "keys" ? locked : { url: process.env.CONSOLE_URL, key: "" };
  const page = await open(browser, where.url, `#/${path}`, { key: where.key, viewport: LARGE });
  await page.locator(`main ${ready}`).first().waitFor();
  if (seconds) {
    for (let at = 0; at < seconds * 4; at += 1) { // something for the charts to show
      await page.evaluate((query) => fetch("v1/search", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query }) }), `a pet ${at}`);
      await page.waitForTimeout(40 + 400 * Math.abs(Math.sin(at / 9)));
    }
  }
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const [suffix, viewport] of [["", LARGE], ["-narrow", SMALL]]) {
      await page.setViewportSize(viewport);
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${OUT}/${name}-${colorScheme}${suffix}.png` });
    }
  }
  await page.context().close();
}
await browser.close();
