// Principal component analysis: the two directions in which vectors differ most.

const ROUNDS = 60;

const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);

function unit(vector) {
  const size = Math.sqrt(dot(vector, vector));
  return size > 1e-12 ? vector.map((value) => value / size) : null;
}

/** Returns the direction of the rows' greatest variance by power iteration; null if the rows are all alike. */
function direction(rows, width) {
  // A fixed start, so that the same vectors give the same map.
  let found = unit(Float64Array.from({ length: width }, (_, index) => Math.sin(index + 1)));
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = new Float64Array(width);
    for (const row of rows) {
      const along = dot(row, found);
      for (let index = 0; index < width; index += 1) next[index] += along * row[index];
    }
    const better = unit(next);
    if (!better) return null;
    found = better;
  }
  return found;
}

/** Returns {points, shares}: [x, y] of each vector, and the share of the variance of both axes, from 0 to 1. */
export function project(vectors) {
  const width = vectors[0]?.length ?? 0;
  const mean = new Float64Array(width);
  for (const vector of vectors) vector.forEach((value, index) => { mean[index] += value / vectors.length; });
  let rows = vectors.map((vector) => Float64Array.from(vector, (value, index) => value - mean[index]));
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0);
  const points = vectors.map(() => [0, 0]);
  const shares = [0, 0];
  for (const axis of [0, 1]) {
    const along = total > 1e-12 ? direction(rows, width) : null;
    if (!along) break;
    rows = rows.map((row, at) => {
      const part = dot(row, along);
      points[at][axis] = part;
      shares[axis] += (part * part) / total;
      return row.map((value, index) => value - part * along[index]);
    });
  }
  return { points, shares };
}
