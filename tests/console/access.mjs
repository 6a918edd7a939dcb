// A gateway with keys: sign-in, roles, and the keys themselves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";
import { KEY, LOCKED, shared } from "./shared.mjs";

const opened = (path, options) => open(shared.browser, LOCKED, path, options);

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

test("a wrong key is refused, the right one is kept for the session alone, and signing out forgets it", async () => {
  const page = await opened("");
  await page.getByText("This needs an API key").waitFor();
  await page.locator("main").getByRole("link", { name: "Sign in" }).click();
  await page.getByLabel("API key").fill("a wrong key");
  await page.keyboard.press("Enter");
  await page.locator(".failure", { hasText: "visible ASCII characters" }).waitFor();
  await page.getByLabel("API key").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The gateway does not know this key").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("tandem.key")), null);
  await page.getByLabel("API key").fill(` ${KEY} `);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.getByText("Nothing is stored yet").waitFor();
  assert.deepEqual(await page.evaluate(() => [sessionStorage.getItem("tandem.key"), JSON.stringify(localStorage), document.cookie]), [KEY, "{}", ""]);
  await page.reload();
  await page.getByText("Nothing is stored yet").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("tandem.key")), null);
  await close(page);
});

test("a new key is shown once, a key of less may not see the keys, and a revoked one ends", async () => {
  const page = await opened("#/keys", { key: KEY });
  await page.getByLabel("Name").fill("<i>reader</i>");
  await page.getByLabel("Collections").fill("books-*, faq");
  await page.getByLabel("Expires").selectOption({ label: "in 30 days" });
  await page.getByRole("button", { name: "Make the key" }).click();
  const made = await page.getByRole("dialog").getByLabel("Key").inputValue();
  assert.ok(made.length > 20);
  await page.getByRole("button", { name: "I have it" }).click();
  const row = page.locator("tbody tr", { hasText: "<i>reader</i>" });
  await row.waitFor();
  assert.match(await row.textContent(), /search.*books-\* faq.*valid/);
  assert.ok(!(await page.content()).includes(made));
  const other = await opened("#/keys", { key: made });
  await other.getByText("This key does not allow it").waitFor();
  await other.evaluate(() => { location.hash = "#/status"; });
  await other.locator("figcaption", { hasText: "Requests a second" }).waitFor();
  await page.getByRole("button", { name: "Revoke <i>reader</i>" }).click();
  await page.getByRole("button", { name: "Revoke the key" }).click();
  await row.locator(".tag", { hasText: "revoked" }).waitFor();
  await other.evaluate(() => { location.hash = "#/collections"; });
  await other.getByText("This needs an API key").waitFor();
  await close(other);
  await close(page);
});
