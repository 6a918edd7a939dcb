/**
 * What a call rejects with. All of these are a `TandemError`; a call that its own signal ended rejects with the signal's
 * reason instead.
 */

import type { ErrorCode, Job } from "./types.js";

export class TandemError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No reply came: no connection, or one that broke. The gateway may have done the request. */
export class ConnectionError extends TandemError {}

/** The time of the call is over. The gateway may have done the request. */
export class TimeoutError extends TandemError {}

/** The reply is not what the API says: another server answered, or it is larger than `maxReplyBytes`. */
export class InvalidReplyError extends TandemError {}

/** A job has not ended in time. Its documents are stored and wait. */
export class JobTimeoutError extends TimeoutError {
  constructor(
    message: string,
    /** The job as it was last seen. */
    readonly job: Job,
  ) {
    super(message);
  }
}

/** What an `ApiError` is made of. */
export interface ApiErrorParts {
  status: number;
  message: string;
  code?: ErrorCode | undefined;
  field?: string | undefined;
  limit?: number | undefined;
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
}

/** The gateway answered with an error. Its subclasses tell what to do about it. */
export class ApiError extends TandemError {
  readonly status: number;
  /** Stable name of the error; undefined if something before the gateway answered. */
  readonly code: ErrorCode | undefined;
  /** Path of the field that is wrong, such as `documents[3].text`, or the name of the limit that is used up. */
  readonly field: string | undefined;
  /** The limit that was exceeded: a bound that the message names, or what the API key may use. */
  readonly limit: number | undefined;
  /** The gateway's log has it too. */
  readonly requestId: string | undefined;
  /** Milliseconds after which the request may be sent again. */
  readonly retryAfterMs: number | undefined;

  constructor(parts: ApiErrorParts) {
    super(parts.message);
    this.status = parts.status;
    this.code = parts.code;
    this.field = parts.field;
    this.limit = parts.limit;
    this.requestId = parts.requestId;
    this.retryAfterMs = parts.retryAfterMs;
  }
}

/** 400, 405, 406, 408, 413, 415, 422, 431: the request has to change. */
export class InvalidRequestError extends ApiError {}
/** 401: the API key is missing or wrong. */
export class UnauthorizedError extends ApiError {}
/** 403: the API key may not do this, or a browser's page may not. */
export class ForbiddenError extends ApiError {}
/** 404: no such collection, document or job. */
export class NotFoundError extends ApiError {}
/** 409: the present state does not allow it. */
export class ConflictError extends ApiError {}
/** 429: a queue or a memory bound is full. */
export class OverloadedError extends ApiError {}
/** 429: a limit of the API key is used up; `field` is `requests`, `tokens` or `documents`. */
export class RateLimitedError extends ApiError {}
/** 502, 503: not possible now. */
export class UnavailableError extends ApiError {}
/** 504: not done within the gateway's deadline; a write may still take effect. */
export class DeadlineError extends ApiError {}
/** Any other status: a defect of the service, or damaged data. */
export class ServerError extends ApiError {}

const BY_STATUS: Readonly<Record<number, new (parts: ApiErrorParts) => ApiError>> = {
  400: InvalidRequestError,
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  405: InvalidRequestError,
  406: InvalidRequestError,
  408: InvalidRequestError,
  409: ConflictError,
  413: InvalidRequestError,
  415: InvalidRequestError,
  422: InvalidRequestError,
  429: OverloadedError,
  431: InvalidRequestError,
  502: UnavailableError,
  503: UnavailableError,
  504: DeadlineError,
};

/** A longer message of a server is cut. */
const MAX_MESSAGE_CHARS = 2_000;

/**
 * Makes the error of a reply.
 *
 * @param status of the reply.
 * @param body of the reply, which need not be JSON.
 * @param headers of the reply.
 * @param retryAfterMs what its `Retry-After` says.
 */
export function errorOf(status: number, body: string, headers: Headers, retryAfterMs: number | undefined): ApiError {
  const { message, code, field } = envelope(body);
  const Kind = code === "rate_limited" ? RateLimitedError : (BY_STATUS[status] ?? ServerError);
  return new Kind({
    status,
    message: (message ?? `the server answered with the status ${status}`).slice(0, MAX_MESSAGE_CHARS),
    code,
    field,
    limit: limitOf(code, message, headers.get("ratelimit-limit")),
    requestId: headers.get("x-request-id") ?? undefined,
    retryAfterMs,
  });
}

function envelope(body: string): { message?: string; code?: ErrorCode; field?: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return {};
  }
  const error = (parsed as { error?: unknown } | null)?.error;
  if (typeof error !== "object" || error === null) return {};
  const { message, code, param } = error as Record<string, unknown>;
  return {
    ...(typeof message === "string" ? { message } : {}),
    ...(typeof code === "string" ? { code: code as ErrorCode } : {}),
    ...(typeof param === "string" ? { field: param } : {}),
  };
}

/** The bound in a message such as "top_k: a whole number from 1 to 1000 was expected, not 0", or that of an API key. */
function limitOf(code: string | undefined, message: string | undefined, header: string | null): number | undefined {
  if (code === "limit_exceeded" || code === "body_too_large") {
    const found = /(?:\bto|at most|up to|limit of|more than|over|exceeds|maximum of) ([0-9][0-9,]*)/.exec(message ?? "");
    return found?.[1] === undefined ? undefined : Number(found[1].replaceAll(",", ""));
  }
  // The header is on other replies too.
  const stated = code === "rate_limited" ? /^[0-9]+/.exec(header?.trim() ?? "") : null;
  return stated === null ? undefined : Number(stated[0]);
}
