// A page of the console in headless Chromium, which collects everything that a page of ours must not do.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.CONSOLE_MODULES}/`);
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Starts the browser; no name outside the machine resolves in it. */
export const launch = () => chromium.launch({
  executablePath: process.env.CONSOLE_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});

/** Opens the console at an address; `page.complaints` has violations of the policy, errors, and requests to others. */
export async function open(browser, url, path = "", { key = "", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.complaints = [];
  await page.addInitScript((given) => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    if (given && !sessionStorage.getItem("tandem.key")) sessionStorage.setItem("tandem.key", given);
  }, key);
  page.on("console", (message) => {
    // The browser logs each status of an error by itself; a test of errors expects those.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) page.complaints.push(`request to ${request.url()}`);
  });
  await page.goto(`${url}/${path}`);
  return page;
}

const RULES = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
// What colours and widths can break.
const LOOKS = { type: "rule", values: ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"] };

/** Returns the violations that axe-core finds in the page, one for each rule; `looks` asks for the rules of looks only. */
export async function axe(page, { looks = false } = {}) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeSource);
  const { violations } = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules, resultTypes: ["violations"] }), looks ? LOOKS : RULES);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).slice(0, 3).join(", ")}: ${nodes[0].failureSummary}`);
}

/** Returns the elements that reach beyond the right or left edge of the window. */
export const tooWide = (page) => page.evaluate(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width && (box.right > width + 1 || box.left < -1) && !node.closest(".scroll, .hidden, .skip");
  }).map((node) => `${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`).slice(0, 5).concat("the page scrolls");
});
