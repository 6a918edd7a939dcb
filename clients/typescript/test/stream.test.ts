/** Streams of documents: the bound on what is under way, the order of reports, and the end after an error. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, IngestStreamError, type DocumentInput, type Job } from "tandem-client";

import { ingestBatches, type StreamOptions } from "#dist/stream.js";

function job(id: string): Job {
  return { job_id: id } as Job;
}

async function* texts(count: number, state: { read: number; closed: boolean }): AsyncGenerator<DocumentInput> {
  try {
    for (; state.read < count; state.read += 1) yield { text: `t${state.read}` };
  } finally {
    state.closed = true;
  }
}

/** A gateway that answers when it is told to. */
class Answers {
  readonly asked: { lines: string; signal: AbortSignal; answer: (job: Job) => void; refuse: (error: Error) => void }[] = [];

  send = (lines: string, signal: AbortSignal): Promise<Job> =>
    new Promise((answer, refuse) => {
      this.asked.push({ lines, signal, answer, refuse });
      signal.addEventListener("abort", () => refuse(signal.reason as Error));
    });
}

/** Lets all promises that can go on do so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("no more batches are under way than allowed, and reports have the order of the input", async () => {
  const state = { read: 0, closed: false };
  const gateway = new Answers();
  const reports = ingestBatches(texts(10, state), gateway.send, { batchDocuments: 2, concurrency: 2 });
  const first = reports.next();
  await settled();
  assert.equal(gateway.asked.length, 2);
  assert.ok(state.read <= 6, `${state.read} were read`);
  gateway.asked[1]?.answer(job("b"));
  await settled();
  assert.equal(gateway.asked.length, 2); // the first is reported first
  gateway.asked[0]?.answer(job("a"));
  assert.deepEqual((await first).value, { firstIndex: 0, documents: 2, job: job("a") });
  await settled();
  assert.equal(gateway.asked.length, 2); // nothing more is read until the next report is asked for
  const second = await reports.next();
  assert.deepEqual(second.value, { firstIndex: 2, documents: 2, job: job("b") });
  await reports.return();
  assert.ok(state.closed);
});

test("an input that waits keeps no report, no error and no signal back", async () => {
  async function* slow(count: number): AsyncGenerator<DocumentInput> {
    for (let number = 0; number < count; number += 1) yield { text: `t${number}` };
    await new Promise(() => undefined);
  }
  const gateway = new Answers();
  const reports = ingestBatches(slow(2), gateway.send, { batchDocuments: 1, concurrency: 9 });
  const first = reports.next();
  await settled();
  assert.equal(gateway.asked.length, 2);
  gateway.asked[0]?.answer(job("a"));
  assert.deepEqual((await first).value, { firstIndex: 0, documents: 1, job: job("a") });
  const second = reports.next();
  await settled();
  gateway.asked[1]?.refuse(new ApiError({ status: 403, message: "the key is revoked" }));
  await assert.rejects(second, /IngestStreamError: the batch from document 1: the key is revoked/);
  const controller = new AbortController();
  const waiting = ingestBatches(slow(0), gateway.send, { signal: controller.signal }).next();
  await settled();
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("batches end at their number of documents and of characters, and one document may be larger", async () => {
  async function cut(documents: DocumentInput[], options: StreamOptions): Promise<number[]> {
    const sizes: number[] = [];
    const send = (lines: string): Promise<Job> => {
      assert.equal(lines.split("\n").length, lines.split("\n").map((line) => JSON.parse(line) as unknown).length);
      return Promise.resolve(job("x"));
    };
    for await (const report of ingestBatches(documents, send, options)) {
      assert.equal(report.firstIndex, sizes.reduce((sum, size) => sum + size, 0));
      sizes.push(report.documents);
    }
    return sizes;
  }
  const short = Array.from({ length: 7 }, () => ({ text: "a\nb" }));
  assert.deepEqual(await cut(short, { batchDocuments: 3 }), [3, 3, 1]);
  assert.deepEqual(await cut([], {}), []);
  const large = [{ text: "x".repeat(50) }, { text: "x" }, { text: "x".repeat(50) }];
  assert.deepEqual(await cut(large, { batchChars: 40 }), [1, 1, 1]);
  assert.deepEqual(await cut(large, { batchChars: 1000 }), [3]);
});

test("an error names the document in the whole input, ends the other requests, and closes the input", async () => {
  const state = { read: 0, closed: false };
  const gateway = new Answers();
  const reports = ingestBatches(texts(100, state), gateway.send, { batchDocuments: 2, concurrency: 2 });
  const first = reports.next();
  await settled();
  gateway.asked[0]?.answer(job("a"));
  await first;
  const second = reports.next();
  await settled();
  const refused = new ApiError({ status: 422, message: "documents[1].text: too long", field: "documents[1].text" });
  gateway.asked[1]?.refuse(refused);
  await assert.rejects(second, (error: IngestStreamError) => {
    assert.ok(error instanceof IngestStreamError);
    assert.deepEqual([error.firstIndex, error.documentIndex, error.cause], [2, 3, refused]);
    assert.match(error.message, /^document 3: documents\[1\]/);
    return true;
  });
  assert.ok(state.closed);
  assert.ok(gateway.asked.slice(2).every(({ signal }) => signal.aborted));
});

test("the input's own error, a document that is no JSON, and a signal stop it", async () => {
  const ok = (): Promise<Job> => Promise.resolve(job("x"));
  async function all(documents: AsyncIterable<DocumentInput> | DocumentInput[], options: StreamOptions = {}): Promise<void> {
    for await (const _ of ingestBatches(documents, ok, options));
  }
  async function* broken(): AsyncGenerator<DocumentInput> {
    yield { text: "a" };
    throw new Error("the file ended");
  }
  await assert.rejects(all(broken()), /the file ended/);
  await assert.rejects(all([{ text: "a" }, { text: "b", metadata: { x: NaN } }]), /TypeError: x: JSON has no NaN/);
  await assert.rejects(all([{ text: "a" }], { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  for (const options of [{ concurrency: 0 }, { batchDocuments: 1.5 }, { batchChars: 0 }]) {
    await assert.rejects(all([{ text: "a" }], options), TypeError);
  }
});
