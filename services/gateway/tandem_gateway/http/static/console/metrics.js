// Reads Prometheus' text format, and makes rates and quantiles of it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n" };

/** Returns [{name, labels, value}] of a text. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, sign) => ESCAPES[sign] ?? sign);
    samples.push({ name: found[1], labels, value: found[3] === "+Inf" ? Infinity : Number(found[3]) });
  }
  return samples;
}

/** Returns the samples of a name that have these labels. */
export const having = (samples, name, labels = {}) => samples.filter((sample) =>
  sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));

/** Returns the sum of these samples; null if there is none. */
export function sum(samples, name, labels) {
  const found = having(samples, name, labels);
  return found.length ? found.reduce((total, sample) => total + sample.value, 0) : null;
}

/** Returns the growth of a counter a second between two readings {at, samples}; null if it is not known. */
export function rate(before, after, name, labels) {
  const [first, last] = [sum(before.samples, name, labels), sum(after.samples, name, labels)];
  const seconds = (after.at - before.at) / 1000;
  return last === null || seconds <= 0 ? null : Math.max(0, last - (first ?? 0)) / seconds;
}

/** Returns a quantile of a histogram's growth between two readings, in its unit; null if nothing was observed. */
export function quantile(share, before, after, name, labels) {
  const totals = new Map();
  for (const [readings, sign] of [[after, 1], [before, -1]]) {
    for (const { labels: { le }, value } of having(readings?.samples ?? [], `${name}_bucket`, labels)) {
      const limit = le === "+Inf" ? Infinity : Number(le);
      totals.set(limit, (totals.get(limit) ?? 0) + sign * value);
    }
  }
  const buckets = [...totals].sort((a, b) => a[0] - b[0]);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const wanted = share * all;
  let [below, counted] = [0, 0];
  for (const [limit, cumulated] of buckets) {
    if (cumulated >= wanted) {
      if (limit === Infinity) return below;
      return below + (limit - below) * ((wanted - counted) / Math.max(cumulated - counted, 1e-9));
    }
    [below, counted] = [limit, cumulated];
  }
  return below;
}
