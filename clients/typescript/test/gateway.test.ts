/** The whole client against a real gateway and embedder; Python starts them and sets the variables. */

import assert from "node:assert/strict";
import { env } from "node:process";
import { test } from "node:test";

import {
  hasEnded, IngestStreamError, InvalidRequestError, NotFoundError, Tandem, UnauthorizedError, type DocumentInput,
} from "tandem-client";

const url = env["TANDEM_TEST_URL"] ?? "";
const tandem = new Tandem({ url, apiKey: env["TANDEM_TEST_KEY"] ?? "" });

const DOCUMENTS: DocumentInput[] = [
  { id: "mat", text: "The cat sat on the mat.", metadata: { page: 1 } },
  { id: "tea", text: "Steep the leaves for three minutes.", metadata: { page: 7 } },
  { id: "a/b c?ü", text: "An id with signs.", metadata: { page: 9 } },
];

test("documents are ingested, found, listed, changed and deleted", async () => {
  const job = await tandem.ingest(DOCUMENTS, { collection: "books" });
  assert.deepEqual(job.document_ids, ["mat", "tea", "a/b c?ü"]);
  const ended = await tandem.jobs.wait(job.job_id, { timeoutMs: 60_000 });
  assert.deepEqual([ended.status, ended.processed_documents], ["completed", 3]);
  const found = await tandem.search({ query: "a pet on a rug", collection: "books", top_k: 1, filter: { page: { $lt: 5 } } });
  assert.equal(found.results[0]?.id, "mat");
  assert.ok(found.took_ms > 0);
  const both = await tandem.searchBatch({ searches: [{ query: "leaves", collection: "books", mode: "lexical" }] });
  assert.deepEqual(both.replies[0]?.results.map(({ id }) => id), ["tea"]);
  const like = await tandem.searchSimilar({ document_id: "mat", collection: "books", top_k: 2 });
  assert.equal(like.results.length, 2);

  const document = await tandem.documents.get("books", "a/b c?ü");
  assert.equal(document.text, "An id with signs.");
  const patched = await tandem.documents.patch("books", "a/b c?ü", { metadata: { page: null, seen: true } });
  assert.deepEqual(patched.metadata, { seen: true });
  const listed = tandem.documents.list("books", { limit: 1 });
  assert.deepEqual((await listed.all()).map(({ id }) => id), ["a/b c?ü", "mat", "tea"]);
  assert.equal((await listed.page()).items.length, 1);
  const filtered = tandem.documents.list("books", { filter: { page: 7 } });
  assert.deepEqual((await filtered.all()).map(({ id }) => id), ["tea"]);
  const many = await tandem.documents.getMany("books", ["tea", "none"]);
  assert.deepEqual([many.documents.map(({ id }) => id), many.missing], [["tea"], ["none"]]);
  const facets = await tandem.collections.facets("books", { fields: ["page"] });
  assert.deepEqual(facets.facets["page"]?.values.map(({ value }) => value).sort(), [1, 7]);

  assert.equal(await tandem.documents.delete("books", "a/b c?ü"), true);
  assert.equal(await tandem.documents.delete("books", "a/b c?ü"), false);
  assert.equal((await tandem.documents.deleteMany("books", { filter: { page: 7 } })).deleted_documents, 1);
  await assert.rejects(tandem.documents.get("books", "tea"), NotFoundError);
});

test("collections are made, listed, read and deleted", async () => {
  const made = await tandem.collections.put("german", { language: "german" });
  assert.equal(made.language, "german");
  assert.ok((await tandem.collections.list()).some(({ name }) => name === "german"));
  assert.equal((await tandem.collections.get("german")).document_count, 0);
  const told = await tandem.collections.putSource("german", "wiki", { documents: [{ id: "a", hash: "v1" }] });
  assert.deepEqual(told.missing, ["a"]);
  assert.equal(await tandem.collections.delete("german"), true);
  assert.equal(await tandem.collections.delete("german"), false);
  await assert.rejects(tandem.collections.get("german"), NotFoundError);
});

test("files become documents", async () => {
  const job = await tandem.ingestFiles(
    [
      { name: "tea.md", content: "# Tea\n\nSteep the leaves.\n" },
      { name: "cups.csv", content: new TextEncoder().encode("text,id\nA cup.,cup\n") },
      { name: "photo.xyz", content: new Blob(["?"]) },
    ],
    { collection: "files", metadata: { team: "x" } },
  );
  assert.deepEqual(job.document_ids, ["tea.md", "cup"]);
  assert.notEqual(job.files[2]?.error, null);
  await tandem.jobs.wait(job.job_id);
  assert.deepEqual((await tandem.documents.get("files", "cup")).metadata, { team: "x", file: "cups.csv" });
});

test("a stream is stored in batches, with reports in order", async () => {
  async function* lines(): AsyncGenerator<DocumentInput> {
    for (let number = 0; number < 25; number += 1) yield { id: `s${number}`, text: `Line number ${number}.` };
  }
  const seen: number[] = [];
  const options = { collection: "stream", batchDocuments: 10, concurrency: 2, waitForJobs: true };
  for await (const { firstIndex, documents, job } of tandem.ingestStream(lines(), options)) {
    assert.ok(hasEnded(job));
    seen.push(firstIndex, documents);
  }
  assert.deepEqual(seen, [0, 10, 10, 10, 20, 5]);
  assert.equal((await tandem.collections.get("stream")).document_count, 25);
});

test("a document of a stream that is not valid is named, or skipped", async () => {
  const documents: DocumentInput[] = [{ text: "a" }, { text: "b" }, { text: "c" }, { text: " " }];
  const run = async (onError: "reject" | "skip"): Promise<number | undefined> => {
    let skipped: number | undefined;
    for await (const { job } of tandem.ingestStream(documents, { collection: "stream", batchDocuments: 2, onError })) {
      skipped = job.skipped_documents;
    }
    return skipped;
  };
  await assert.rejects(run("reject"), (error: IngestStreamError) => {
    assert.ok(error instanceof IngestStreamError);
    assert.deepEqual([error.firstIndex, error.documentIndex], [2, 3]);
    assert.ok(error.cause instanceof InvalidRequestError);
    assert.equal(error.cause.field, "documents[1].text");
    return true;
  });
  assert.equal(await run("skip"), 1);
});

test("jobs are listed, followed, and their documents told", async () => {
  const job = await tandem.ingest([{ id: "one", text: "One." }, { id: "two", text: "Two." }], { collection: "jobs" });
  let last = job;
  for await (const seen of tandem.jobs.events(job.job_id)) last = seen;
  assert.equal(last.status, "completed");
  const listed = await tandem.jobs.list({ collection: "jobs", limit: 1 }).all();
  assert.deepEqual(listed.map(({ job_id }) => job_id), [job.job_id]);
  const documents = await tandem.jobs.documents(job.job_id, { limit: 1 }).all();
  assert.deepEqual(documents.map(({ id, status }) => [id, status]), [["one", "embedded"], ["two", "embedded"]]);
  assert.equal((await tandem.jobs.cancel(job.job_id)).status, "completed");
  await assert.rejects(tandem.jobs.retry(job.job_id), { status: 409, code: "conflict" });
  await assert.rejects(tandem.jobs.get("job_none"), NotFoundError);
});

test("errors name the field and the limit", async () => {
  const refused = async (call: Promise<unknown>): Promise<InvalidRequestError> => {
    const error: unknown = await call.then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof InvalidRequestError, String(error));
    return error;
  };
  const top = await refused(tandem.search({ query: "x", top_k: 1001 }));
  assert.deepEqual([top.status, top.code, top.field, top.limit], [422, "limit_exceeded", "top_k", 1000]);
  assert.match(top.requestId ?? "", /./);
  const long = await refused(tandem.search("x".repeat(8193)));
  assert.deepEqual([long.code, long.field, long.limit], ["limit_exceeded", "query", 8192]);
  const text = await refused(tandem.ingest([{ text: "x".repeat(100_001) }]));
  assert.deepEqual([text.field, text.limit], ["documents[0].text", 100_000]);
  const unknown = await refused(tandem.search({ query: "x", nothing: 1 } as never));
  assert.deepEqual([unknown.code, unknown.field], ["unknown_field", "nothing"]);
  const ids = await refused(tandem.documents.getMany("books", Array.from({ length: 1001 }, (_, id) => String(id))));
  assert.deepEqual([ids.field, ids.limit], ["ids", 1000]);
  for (const name of ["", ".", ".."]) {
    await assert.rejects(tandem.collections.delete(name), /^TypeError: collection: /);
    await assert.rejects(tandem.collections.get(name), /^TypeError: collection: /);
    await assert.rejects(tandem.documents.list(name).all(), /^TypeError: collection: /);
  }
});

test("the same key is the same ingest, and another ingest gets a conflict", async () => {
  const options = { collection: "keys", idempotencyKey: "the-key" };
  const first = await tandem.ingest([{ id: "a", text: "a" }], options);
  assert.equal((await tandem.ingest([{ id: "a", text: "a" }], options)).job_id, first.job_id);
  await assert.rejects(tandem.ingest([{ id: "a", text: "b" }], options), { code: "conflict" });
});

test("a session finds what its replies told", async () => {
  const job = await tandem.ingest([{ id: "s", text: "A session." }], { collection: "session" });
  await tandem.jobs.wait(job.job_id);
  assert.match(tandem.position ?? "", /^.+\.[0-9]+$/);
  const found = await tandem.search({ query: "session", collection: "session", consistency: "session" });
  assert.equal(found.results[0]?.id, "s");
});

test("without the key the gateway answers its health alone", async () => {
  const other = new Tandem({ url });
  assert.equal((await other.health()).status, "ok");
  await assert.rejects(other.search("x"), UnauthorizedError);
});
