// Calls the API of the gateway that served the page.

import * as session from "./session.js";

// The page is at the root of the gateway, which may be a folder behind a proxy.
const ROOT = new URL("./", document.baseURI);

/** An answer that is not a success, or none: then the status is 0. */
export class ApiError extends Error {
  constructor(status, message, { code = "", param = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
  }
}

/** Returns whether an error only says that nobody waits for the answer any more. */
export const aborted = (error) => error?.name === "AbortError";

async function errorOf(reply) {
  let said = {};
  try {
    said = (await reply.json()).error ?? {};
  } catch {
    // A proxy may answer with something else than JSON.
  }
  const retryAfter = Number.parseInt(reply.headers.get("retry-after"), 10);
  return new ApiError(reply.status, said.message ?? `the answer has the status ${reply.status}`, {
    code: said.code, param: said.param ?? null, retryAfter: Number.isNaN(retryAfter) ? null : retryAfter,
  });
}

async function request(method, path, { query, body, form, signal, key = session.key() } = {}) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = {};
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let reply;
  try {
    reply = await fetch(url, {
      method, headers, signal, body: form ?? (body === undefined ? undefined : JSON.stringify(body)),
      cache: "no-store", credentials: "same-origin", redirect: "error",
    });
  } catch (error) {
    if (aborted(error)) throw error;
    throw new ApiError(0, "the gateway does not answer");
  }
  if (!reply.ok) throw await errorOf(reply);
  return reply;
}

async function read(reply, how) {
  try {
    return await reply[how]();
  } catch (error) {
    if (aborted(error)) throw error;
    throw new ApiError(0, "the connection to the gateway broke");
  }
}

const json = async (...call) => read(await request(...call), "json");

export const get = (path, options) => json("GET", path, options);
export const post = (path, body, options) => json("POST", path, { ...options, body });
export const put = (path, body, options) => json("PUT", path, { ...options, body });
export const remove = (path, options) => json("DELETE", path, options);
export const send = (path, form, options) => json("POST", path, { ...options, form });
export const text = async (path, options) => read(await request("GET", path, options), "text");

/** Returns the health, also that of a gateway that has failed. */
export async function health(options) {
  return get("healthz", options);
}

/** Returns the path of a collection, with more segments after it. */
export const at = (collection, ...more) => ["v1/collections", encodeURIComponent(collection), ...more].join("/");

/** Yields {name, data} for each server-sent event of a path. EventSource could not send the key. */
export async function* events(path, options) {
  const reply = await request("GET", path, options);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      let end;
      while ((end = held.indexOf("\n\n")) >= 0) {
        const event = parsed(held.slice(0, end));
        held = held.slice(end + 2);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (aborted(error)) throw error;
    throw new ApiError(0, "the connection to the gateway broke");
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
