// Ingest by dropping and typing, jobs, collections and documents.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";
import { OPEN, shared } from "./shared.mjs";

const opened = (path, options) => open(shared.browser, OPEN, path, options);

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

const drop = (page, files) => page.locator(".drop").evaluate((node, given) => {
  const dropped = new DataTransfer();
  for (const [name, text] of given) dropped.items.add(new File([text], name));
  node.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
}, files);

test("dropped files are stored, each with its result, and a bad one fails alone", async () => {
  const page = await opened("#/ingest");
  await page.getByLabel("Collection").fill("dropped");
  await page.getByLabel("Metadata of all documents").fill("[1]");
  await drop(page, [["note.md", "# Note\n\nThe harbour freezes in January."]]);
  await page.locator(".failure", { hasText: "a JSON object was expected" }).waitFor();
  await page.getByLabel("Metadata of all documents").fill("{\"team\": \"sea\"}");
  await drop(page, [["note.md", "# Note\n\nThe harbour freezes in January."], ["rows.csv", "text,id\nA buoy rings.,buoy\nA gull cries.,gull\n"], ["bad.csv", "no,column\n1,2\n"]]);
  const card = page.locator("section.ingest");
  await card.locator(".tag", { hasText: "completed" }).waitFor();
  assert.match(await card.locator(".hint").first().textContent(), /^3 of 3 documents/);
  const results = await card.locator("tbody tr").allTextContents();
  assert.equal(results.length, 3);
  assert.match(results[0], /^note\.md1read$/);
  assert.match(results[1], /^rows\.csv2read$/);
  assert.match(results[2], /^bad\.csv0failed .*text/);
  await card.getByRole("link", { name: "Search" }).click();
  await page.locator("#query").fill("frozen water");
  await page.locator("[data-mode=dense] .hit-id", { hasText: "note.md" }).waitFor();
  assert.match(await page.locator("[data-mode=dense] .hit[data-id='note.md'] .chips").textContent(), /team sea/);
  await close(page);
});

test("a typed text makes a job, whose page shows its end and its documents", async () => {
  const page = await opened("#/ingest?collection=typed");
  await page.getByRole("textbox", { name: "Text" }).fill("Rye bread needs a sour dough.");
  await page.getByLabel("Id").fill("rye/bread #1?");
  await page.getByRole("button", { name: "Store the text" }).click();
  await page.locator("section.ingest .tag", { hasText: "completed" }).waitFor();
  await page.locator("section.ingest").getByRole("link", { name: "Job" }).click();
  await page.locator("main td", { hasText: "embedded" }).waitFor();
  await page.getByRole("link", { name: "rye/bread #1?" }).click();
  await page.locator(".text", { hasText: "sour dough" }).waitFor();
  assert.equal(await page.locator("h1").textContent(), "rye/bread #1?");
  await page.getByText("It is the only document").waitFor();
  await page.getByRole("link", { name: "Jobs" }).first().click();
  await page.locator("main tbody tr", { hasText: "typed" }).first().waitFor();
  await close(page);
});

test("the events of a job move its progress, and its failures are shown", async () => {
  const page = await opened("#/search");
  const job = { job_id: "job_1", status: "running", total_documents: 4, processed_documents: 1, error: null, created_at: null, started_at: null, finished_at: null, collection: "c", failures: [], failed_documents: 0, documents_per_second: 2, seconds_left: 100 };
  const over = { ...job, status: "failed", processed_documents: 4, finished_at: "2026-01-01T00:00:00Z", failed_documents: 1, failures: [{ id: "<b>x</b>", error: "too odd" }] };
  let asked = 0;
  await page.route("**/v1/jobs/job_1/events", (route) => {
    asked += 1;
    // The first stream ends without an end, as one does when the gateway stops.
    const said = asked === 1 ? `event: progress\ndata: ${JSON.stringify(job)}\n\n: the job goes on\n\n` : `event: end\ndata: ${JSON.stringify(over)}\n\n`;
    return route.fulfill({ contentType: "text/event-stream", body: said });
  });
  await page.route("**/v1/jobs/job_1", (route) => route.fulfill({ json: over }));
  await page.route("**/v1/jobs/job_1/documents*", (route) => route.fulfill({ json: { documents: [{ id: null, status: "skipped", reason: "bad" }], next_cursor: null } }));
  await page.evaluate(() => { location.hash = "#/jobs/job_1"; });
  await page.locator(".tag", { hasText: "failed" }).waitFor();
  assert.equal(await page.locator(".reasons").textContent(), "<b>x</b>: too odd");
  await page.getByRole("button", { name: "Embed the failed documents again" }).waitFor();
  assert.equal(asked, 2);
  await close(page);
});

test("a collection is made, shows its settings, and is deleted after a question", async () => {
  const page = await opened("#/collections");
  await page.locator("summary", { hasText: "New collection" }).click();
  await page.getByLabel("Name").fill("made-here");
  await page.getByLabel("Language of the words").selectOption("german");
  await page.getByRole("button", { name: "Create" }).click();
  await page.locator("dd", { hasText: "german" }).waitFor();
  await page.getByText("The first documents have no metadata").waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete the collection" }).click();
  await page.locator("h1", { hasText: "Collections" }).waitFor();
  await page.locator("h2", { hasText: "library" }).waitFor();
  assert.equal(await page.locator("h2", { hasText: "made-here" }).count(), 0);
  await close(page);
});

test("facets lead to a filtered search, and a document to its neighbours and its deletion", async () => {
  const page = await opened("#/collections/library");
  await page.locator(".facet a", { hasText: "kitchen" }).click();
  await page.locator("#query").fill("a warm drink");
  await page.locator("[data-mode=dense] .hit-id", { hasText: "tea" }).click();
  await page.locator("mark", { hasText: "Steep the leaves" }).waitFor();
  await page.locator("main .hit-id", { hasText: "coffee" }).click();
  await page.locator(".text", { hasText: "Grind the beans" }).waitFor();
  await page.evaluate(async () => {
    await fetch("v1/ingest", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ collection: "library", documents: [{ id: "gone/soon", text: "soon gone" }] }) });
    location.hash = "#/documents/library/gone%2Fsoon";
  });
  await page.locator(".text", { hasText: "soon gone" }).waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete the document" }).click();
  await page.locator("#toast", { hasText: "The document is deleted." }).waitFor();
  await page.evaluate(() => { location.hash = "#/documents/library/gone%2Fsoon"; });
  await page.locator(".failure", { hasText: "There is no such thing" }).waitFor();
  await close(page);
});
