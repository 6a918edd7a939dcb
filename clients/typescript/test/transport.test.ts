/** Requests to a real server of this process that fails in every way. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";

import {
  ConflictError, ConnectionError, InvalidReplyError, NotFoundError, Tandem, TimeoutError, UnauthorizedError,
  UnavailableError, type TandemOptions,
} from "tandem-client";

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

interface Asked {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage["headers"];
  body: string;
}

let server: Server;
let url: string;
let asked: Asked[];
/** One for each request, in order; the last stays. */
let answers: Answer[];

const json = (status: number, value: unknown, headers: Record<string, string> = {}): Answer => (_, response) => {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
};
const good = json(200, { collections: [] });
const cut: Answer = (request) => request.socket.destroy();

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      asked.push({ method: request.method, url: request.url, headers: request.headers, body });
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      answer?.(request, response, body);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  asked = [];
  answers = [good];
});

function client(options: TandemOptions = {}): Tandem {
  return new Tandem({ url, retry: { baseMs: 1, maxMs: 1 }, ...options });
}

test("the key and the headers go with every request, and the path behind a prefix", async () => {
  await client({ url: `${url}/prefix/`, apiKey: "key", headers: { "x-team": "search" } }).collections.list();
  assert.deepEqual([asked[0]?.method, asked[0]?.url], ["GET", "/prefix/v1/collections"]);
  assert.equal(asked[0]?.headers.authorization, "Bearer key");
  assert.equal(asked[0]?.headers["x-team"], "search");
});

test("a search tells how much time is left, in each attempt", async () => {
  answers = [json(503, {}), json(200, { results: [] })];
  await client({ timeoutMs: 5000 }).search({ query: "x", top_k: 3 });
  const told = asked.map(({ headers }) => Number(headers["x-request-timeout-ms"]));
  assert.equal(told.length, 2);
  assert.ok(told.every((ms) => ms > 0 && ms <= 5000), String(told));
  assert.deepEqual(JSON.parse(asked[1]?.body ?? ""), { query: "x", top_k: 3 });
});

test("passing failures and broken connections are tried again", async () => {
  answers = [json(503, {}, { "retry-after": "0" }), json(429, {}), cut, good];
  assert.deepEqual(await client().collections.list(), []);
  assert.equal(asked.length, 4);
});

test("an ingest that is tried again has the same key and the same body", async () => {
  answers = [cut, json(503, {}), json(202, { job_id: "j" })];
  assert.equal((await client().ingest([{ text: "a" }], { collection: "c", onError: "skip" })).job_id, "j");
  const keys = new Set(asked.map(({ headers }) => headers["idempotency-key"]));
  assert.equal(keys.size, 1);
  assert.match([...keys][0] as string, /^[0-9a-f]{32}$/);
  assert.deepEqual(new Set(asked.map(({ body }) => body)).size, 1);
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ""), { documents: [{ text: "a" }], collection: "c", on_error: "skip" });
  await client().ingest([{ text: "a" }]);
  assert.ok(!keys.has(asked.at(-1)?.headers["idempotency-key"]));
});

test("a form is sent whole in each attempt", async () => {
  answers = [json(503, {}), json(202, { job_id: "j", files: [] })];
  await client().ingestFiles([{ name: "a.txt", content: "hello" }, { name: "b.txt", content: new Uint8Array([104, 105]) }], {
    metadata: { team: "x" },
  });
  assert.equal(asked.length, 2);
  for (const { body, headers } of asked) {
    assert.match(headers["content-type"] ?? "", /^multipart\/form-data; boundary=/);
    assert.match(body, /filename="a\.txt"[^]*hello[^]*filename="b\.txt"[^]*hi[^]*\{"team":"x"\}/);
  }
});

test("what is not repeatable is sent once", async () => {
  answers = [json(503, { error: { message: "later", code: "not_ready" } })];
  await assert.rejects(client().jobs.retry("j"), UnavailableError);
  assert.equal(asked.length, 1);
  answers = [json(409, { error: { message: "no", code: "conflict" } })];
  await assert.rejects(client().jobs.retry("j"), ConflictError);
});

test("a wait that does not fit into the time is not begun, and the error tells it", async () => {
  answers = [json(503, {}, { "retry-after": "3600" })];
  await assert.rejects(client({ timeoutMs: 5000 }).collections.list(), (error: UnavailableError) => {
    assert.ok(error instanceof UnavailableError);
    assert.equal(error.retryAfterMs, 3_600_000);
    return true;
  });
  assert.equal(asked.length, 1);
});

test("the time is over", async () => {
  answers = [() => undefined];
  await assert.rejects(client().collections.list({ timeoutMs: 50 }), TimeoutError);
  answers = [(_, response) => void response.writeHead(200).write('{"collections"')];
  await assert.rejects(client().collections.list({ timeoutMs: 50 }), TimeoutError);
});

test("a signal ends a call with its reason, before it and within it", async () => {
  const reason = new Error("the user left");
  await assert.rejects(client().collections.list({ signal: AbortSignal.abort(reason) }), reason);
  assert.equal(asked.length, 0);
  const controller = new AbortController();
  answers = [() => controller.abort(reason)];
  await assert.rejects(client().collections.list({ signal: controller.signal }), reason);
  // Also while it waits for the next attempt.
  const waiting = new AbortController();
  answers = [json(503, {}, { "retry-after": "30" })];
  const call = client().collections.list({ signal: waiting.signal });
  while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
  waiting.abort(reason);
  await assert.rejects(call, reason);
});

test("a server that is not there, and one that always breaks", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, "close");
  const nobody = client({ url: `http://127.0.0.1:${port}`, retry: { retries: 1, baseMs: 1 } });
  await assert.rejects(nobody.health(), /ConnectionError: no reply to GET \/healthz: .*ECONNREFUSED/);
  answers = [cut];
  await assert.rejects(client().collections.list(), (error: ConnectionError) => {
    assert.ok(error instanceof ConnectionError);
    assert.match(error.message, /^no reply to GET \/v1\/collections: ./);
    return true;
  });
  assert.equal(asked.length, 4);
});

test("a reply that is no JSON, too large, or a redirect is refused", async () => {
  answers = [(_, response) => void response.end("<html>")];
  await assert.rejects(client().collections.list(), /InvalidReplyError: the reply to GET .* is not JSON/);
  for (const other of [{}, [], null, "text", { error: {} }]) {
    answers = [json(200, other)];
    await assert.rejects(client().collections.list(), /InvalidReplyError: the reply to GET .* has no collections/);
  }
  answers = [json(503, { error: { message: "busy" } })];
  await assert.rejects(client().health(), /InvalidReplyError: .* has no status/);
  asked = [];
  answers = [json(200, { collections: ["x".repeat(2000)] })];
  await assert.rejects(client({ maxReplyBytes: 1000 }).collections.list(), /more than 1000 bytes \(maxReplyBytes\)/);
  answers = [json(307, {}, { location: "http://127.0.0.1:9/" })];
  await assert.rejects(client({ apiKey: "key" }).collections.list(), InvalidReplyError);
  assert.equal(asked.length, 2);
});

test("errors have the type of their status", async () => {
  answers = [json(401, { error: { message: "no key", code: "unauthorized", type: "invalid_request_error" } },
    { "ratelimit-limit": "60" })];
  await assert.rejects(client().collections.list(), (error: UnauthorizedError) => {
    assert.ok(error instanceof UnauthorizedError);
    assert.deepEqual([error.status, error.code, error.message], [401, "unauthorized", "no key"]);
    assert.deepEqual([error.field, error.limit], [undefined, undefined]); // the header is that of the key's limit
    return true;
  });
  answers = [json(404, { error: { message: "none", code: "not_found", param: "collection" } })];
  await assert.rejects(client().collections.get("x"), NotFoundError);
});

test("a session sends the newest position that a reply told", async () => {
  const tandem = client();
  answers = [json(200, { results: [] }, { "x-tandem-position": "s.2" })];
  await tandem.search({ query: "x", consistency: "session" });
  assert.equal(asked[0]?.headers["x-tandem-position"], undefined);
  answers = [json(200, { results: [] }, { "x-tandem-position": "s.1" })];
  await tandem.search({ query: "x", consistency: "session" });
  await tandem.search("x");
  assert.equal(asked[1]?.headers["x-tandem-position"], "s.2");
  assert.equal(asked[2]?.headers["x-tandem-position"], undefined);
  assert.equal(tandem.position, "s.2");
});

test("events go on after a stream that broke, and end when the key is refused", async () => {
  const event = (name: string, data: unknown): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  const stream = (text: string): Answer => (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
  };
  answers = [
    stream(event("progress", { processed_documents: 1 })),
    (_, response) => {
      response.writeHead(200).write(": nothing\n\n");
      setImmediate(() => response.destroy());
    },
    stream(event("progress", { processed_documents: 2 }) + event("end", { processed_documents: 3 })),
  ];
  const seen: unknown[] = [];
  for await (const job of client().jobs.events("j")) seen.push(job.processed_documents);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.equal(asked.length, 3);
  answers = [stream(event("refused", { message: "the key is revoked" }))];
  await assert.rejects(client().jobs.events("j").next(), /UnauthorizedError: the key is revoked/);
  answers = [stream("")];
  await assert.rejects(client().jobs.events("j").next(), ConnectionError);
  const reason = new Error("the user left");
  const controller = new AbortController();
  answers = [(_, response) => void response.writeHead(200).write(event("progress", { processed_documents: 1 }))];
  const jobs = client().jobs.events("j", { signal: controller.signal });
  await jobs.next();
  const next = jobs.next();
  controller.abort(reason);
  await assert.rejects(next, reason);
});

test("a job that does not end in time is told with its state", async () => {
  answers = [json(200, { job_id: "j", status: "running" })];
  await assert.rejects(client().jobs.wait("j", { timeoutMs: 500 }), /JobTimeoutError: j is running after 500 ms/);
  assert.equal(asked.length, 1);
});

test("a gateway that is busy is waited for by a stream, not by a request alone", async () => {
  answers = [...Array.from({ length: 9 }, () => json(429, {}, { "retry-after": "0" })), json(202, { job_id: "j" })];
  const reports = [];
  for await (const report of client().ingestStream([{ text: "a" }], { collection: "c" })) reports.push(report);
  assert.deepEqual(reports, [{ firstIndex: 0, documents: 1, job: { job_id: "j" } }]);
  assert.equal(asked.length, 10);
  assert.equal(asked[0]?.url, "/v1/ingest?collection=c");
  assert.equal(asked[0]?.headers["content-type"], "application/x-ndjson");
});
