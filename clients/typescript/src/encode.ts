/** Paths, queries and JSON bodies. What JSON or a URL would silently change is refused with a TypeError. */

/** Returns a path from a template such as `/v1/jobs/{job_id}`, with its parts percent-encoded. */
export function pathOf(template: string, parts: Readonly<Record<string, string>> = {}): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = parts[name];
    // A URL drops such a segment, and the request would be for another path.
    if (typeof value !== "string" || /^\.{0,2}$/.test(value)) {
      throw new TypeError(`${name}: a text that is not empty, "." or ".." was expected`);
    }
    return encode(name, value);
  });
}

/** Returns a query with its question mark, of the values that are not undefined; empty without one. */
export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(values).filter((entry): entry is [string, string | number] => entry[1] !== undefined);
  return given.length === 0 ? "" : `?${given.map(([name, value]) => `${name}=${encode(name, String(value))}`).join("&")}`;
}

function encode(name: string, value: string): string {
  try {
    return encodeURIComponent(value);
  } catch {
    throw new TypeError(`${name}: it has half of a surrogate pair`);
  }
}

/** Returns a value as JSON; refuses what JSON would leave out or turn into null or {}. */
export function jsonOf(value: unknown, name: string): string {
  const text = JSON.stringify(value, (key, inner: unknown) => {
    const path = key === "" ? name : key;
    if (typeof inner === "number" && !Number.isFinite(inner)) throw new TypeError(`${path}: JSON has no ${inner}`);
    if (inner instanceof Map || inner instanceof Set) throw new TypeError(`${path}: JSON has no Map and no Set`);
    return inner;
  }) as string | undefined;
  if (text === undefined) throw new TypeError(`${name}: an object was expected`);
  return text;
}
