/** What decides and what encodes, without a gateway. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Paged, Tandem } from "tandem-client";

import { jsonOf, pathOf, queryOf } from "#dist/encode.js";
import { errorOf, InvalidRequestError, OverloadedError, RateLimitedError, ServerError } from "#dist/errors.js";
import { EventParser } from "#dist/events.js";
import { DEFAULT_RETRY, parseRetryAfter, waitBeforeRetry, type Failure } from "#dist/retry.js";
import { newerPosition } from "#dist/transport.js";

const FAILURE: Failure = {
  attempt: 0, status: 503, repeatable: true, retryAfterMs: undefined, leftMs: 60_000, draw: 1,
};

test("a passing failure of a repeatable call is tried again, longer each time", () => {
  const waits = [0, 1, 2, 3].map((attempt) => waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, attempt }));
  assert.deepEqual(waits, [250, 500, 1000, undefined]);
  assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, draw: 0 }), 0);
  assert.equal(waitBeforeRetry({ ...DEFAULT_RETRY, retries: 99 }, { ...FAILURE, attempt: 90 }), 20_000);
});

test("what may be done already is not sent again, and 429 always", () => {
  for (const status of [undefined, 502, 503, 504]) {
    assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, status, repeatable: false }), undefined);
    assert.notEqual(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, status }), undefined);
  }
  assert.notEqual(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, status: 429, repeatable: false }), undefined);
  for (const status of [400, 401, 404, 409, 422, 500]) {
    assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, status }), undefined);
  }
});

test("a wait is at least the Retry-After, and never past the deadline", () => {
  assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, retryAfterMs: 5000, draw: 0 }), 5000);
  assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, retryAfterMs: 5000, draw: 1 }), 5250);
  assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, retryAfterMs: 60_000 }), undefined);
  assert.equal(waitBeforeRetry(DEFAULT_RETRY, { ...FAILURE, leftMs: 250 }), undefined);
});

test("Retry-After is seconds or a date of HTTP, and nothing else", () => {
  const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
  assert.equal(parseRetryAfter("3", now), 3000);
  assert.equal(parseRetryAfter(" 0 ", now), 0);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2026 07:28:05 GMT", now), 5000);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2026 07:00:00 GMT", now), 0);
  for (const wrong of [null, "", "-1", "1.5", "May", "2026-10-21", "99999999999999"]) {
    assert.equal(parseRetryAfter(wrong, now), undefined, String(wrong));
  }
});

test("parts of a path are encoded, and those that a URL would drop are refused", () => {
  assert.equal(pathOf("/v1/x/{a}/y", { a: "é/ü?#%2e" }), "/v1/x/%C3%A9%2F%C3%BC%3F%23%252e/y");
  for (const wrong of ["", ".", ".."]) assert.throws(() => pathOf("/v1/x/{a}", { a: wrong }), /^TypeError: a: /);
  assert.throws(() => pathOf("/v1/x/{a}", {}), TypeError);
  assert.throws(() => pathOf("/v1/x/{a}", { a: "\ud800" }), /surrogate/);
  assert.equal(queryOf({ a: undefined, b: 0, c: "x y&z" }), "?b=0&c=x%20y%26z");
  assert.equal(queryOf({}), "");
});

test("JSON loses nothing silently", () => {
  assert.equal(jsonOf({ a: new Date(0), b: undefined }, "x"), '{"a":"1970-01-01T00:00:00.000Z"}');
  for (const wrong of [{ a: NaN }, { a: [Infinity] }, { a: new Map() }, { a: new Set([1]) }, undefined, { a: 1n }]) {
    assert.throws(() => jsonOf(wrong, "x"), TypeError);
  }
});

function refusal(status: number, error: object, headers: Record<string, string> = {}): ReturnType<typeof errorOf> {
  return errorOf(status, JSON.stringify({ error }), new Headers(headers), undefined);
}

test("an error names the field and the limit", () => {
  const wrong = refusal(422, {
    message: "top_k: a whole number from 1 to 1,000 was expected, not 0", code: "limit_exceeded", param: "top_k",
  }, { "x-request-id": "r" });
  assert.ok(wrong instanceof InvalidRequestError);
  assert.deepEqual([wrong.name, wrong.field, wrong.limit, wrong.requestId], ["InvalidRequestError", "top_k", 1000, "r"]);
  const used = refusal(429, { message: "used up", code: "rate_limited", param: "requests" }, { "ratelimit-limit": "60" });
  assert.ok(used instanceof RateLimitedError);
  assert.deepEqual([used.field, used.limit], ["requests", 60]);
  assert.ok(refusal(429, { message: "busy", code: "overloaded" }) instanceof OverloadedError);
});

test("an error that is not the gateway's is one all the same", () => {
  for (const body of ["", "<html>", "null", "[]", '{"error": null}', '{"error": "text"}', '{"error": {"message": 1}}']) {
    const error = errorOf(500, body, new Headers(), undefined);
    assert.ok(error instanceof ServerError);
    assert.equal(error.message, "the server answered with the status 500");
    assert.equal(error.code, undefined);
  }
});

test("events come in pieces of any size", () => {
  const text = ": comment\n\nevent: progress\ndata: {\"a\":1}\n\nevent: end\r\ndata: x\r\ndata: y\r\n\r\ndata: cut";
  const whole = [{ event: "progress", data: '{"a":1}' }, { event: "end", data: "x\ny" }];
  for (let size = 1; size <= text.length; size += 1) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(found, whole);
  }
  assert.throws(() => new EventParser().push("x".repeat(2 ** 20 + 1)), /more than 1 MiB/);
});

test("of two positions the newer one is kept", () => {
  assert.equal(newerPosition("s.9", "s.10"), "s.10");
  assert.equal(newerPosition("s.10", "s.9"), "s.10");
  assert.equal(newerPosition("s.10", "t.9"), "t.9");
  assert.equal(newerPosition(undefined, "s.1"), "s.1");
  for (const none of [null, "", "s", "s.", "s.x"]) assert.equal(newerPosition("s.1", none), "s.1");
  assert.equal(newerPosition("s.9007199254740992", "s.9007199254740993"), "s.9007199254740993");
});

test("a list goes on behind empty pages, and keeps its bound", async () => {
  const asked: (string | undefined)[] = [];
  const list = new Paged<number>((cursor) => {
    asked.push(cursor);
    const at = Number(cursor ?? 0);
    return Promise.resolve({ items: at === 1 ? [] : [at, at], cursor: at < 2 ? String(at + 1) : undefined });
  });
  assert.deepEqual(await list.all(), [0, 0, 2, 2]);
  assert.deepEqual(asked, [undefined, "1", "2"]);
  await assert.rejects(list.all(3), RangeError);
  for await (const item of list) if (item === 0) break;
  assert.equal(asked.length, 7);
});

test("options that are wrong are refused by name", () => {
  const wrong: [ConstructorParameters<typeof Tandem>[0], RegExp][] = [
    [{ url: "localhost:8000" }, /^TypeError: url: /],
    [{ url: "ftp://x" }, /^TypeError: url: /],
    [{ url: "http://u:p@x" }, /^TypeError: url: /],
    [{ url: "http://x?a=b" }, /^TypeError: url: /],
    [{ apiKey: "two words" }, /^TypeError: apiKey: /],
    [{ apiKey: "a\r\nb: c" }, /^TypeError: apiKey: /],
    [{ timeoutMs: 0 }, /^TypeError: timeoutMs: /],
    [{ timeoutMs: NaN }, /^TypeError: timeoutMs: /],
    [{ retry: { retries: -1 } }, /^TypeError: retry.retries: /],
    [{ retry: { baseMs: 9, maxMs: 1 } }, /^TypeError: retry.baseMs: /],
    [{ maxReplyBytes: 0 }, /^TypeError: maxReplyBytes: /],
  ];
  for (const [options, message] of wrong) assert.throws(() => new Tandem(options), message);
});
