// What makes coordinates a cloud that can be classified: as `pointstill.points` has it.

export const LEAST_POINTS = 8;
const STEPS = 500; // coordinates rounded to fewer steps than this across a cloud are refused
const COUNT = 2048; // places at which distances are looked at
const OUTLIER_PART = 0.01, OUTLIER_FACTOR = 100;

/** A cloud or a file that cannot be used: what is wrong, and what to do. */
export class CloudError extends Error {
  constructor(what, fix = "") {
    super(fix ? `${what}: ${fix}` : what);
  }
}

/** Points without those that have no place: Float64Array of 3 n numbers, and how many went. */
export function finite(xyz) {
  const kept = [];
  for (let i = 0; i < xyz.length; i += 3) {
    const near = (value) => Math.abs(value) <= 3.4028234663852886e38; // NaN compares false
    if (near(xyz[i]) && near(xyz[i + 1]) && near(xyz[i + 2])) kept.push(i);
  }
  const points = new Float64Array(3 * kept.length);
  kept.forEach((from, to) => points.set(xyz.subarray(from, from + 3), 3 * to));
  return { points, lost: xyz.length / 3 - kept.length };
}

/**
 * Refuse what is no shape.
 * @param {Float64Array} points 3 n coordinates, finite.
 * @param {boolean} rounded whether they went through float32.
 */
export function checkPoints(points, rounded) {
  const count = points.length / 3;
  if (count < LEAST_POINTS) {
    throw new CloudError(`The cloud has ${count} points, but needs ${LEAST_POINTS}`);
  }
  const { low, high } = box(points);
  const across = Math.hypot(...high.map((value, axis) => value - low[axis]));
  if (across === 0) throw new CloudError(`The cloud has ${count} points that are all the same`);
  const largest = Math.max(...low.map(Math.abs), ...high.map(Math.abs));
  if (rounded && largest * 2 ** -23 > across / STEPS) {
    throw new CloudError(
      "The cloud lies so far from the origin that a browser rounds its shape away",
      "move it to the origin, or classify it with `pointstill predict`",
    );
  }
}

/** Refuse far points that would press all others together, for students that do not leave them out. */
export function checkOutliers(points) {
  const count = points.length / 3;
  const middle = [0, 1, 2].map((axis) => median(points.filter((_, i) => i % 3 === axis)));
  const away = Array.from({ length: count }, (_, i) =>
    Math.max(...middle.map((value, axis) => Math.abs(points[3 * i + axis] - value))));
  const far = Math.max(1, Math.floor(OUTLIER_PART * count));
  const bound = Float64Array.from(away).sort()[count - far];
  const near = points.filter((_, i) => away[Math.floor(i / 3)] < bound);
  if (!near.length || OUTLIER_FACTOR * size(near) < size(points)) {
    throw new CloudError(
      "The cloud has outliers that stretch it more than a hundred times",
      "remove those points, such as false returns at (0, 0, 0)",
    );
  }
}

/** Half of the way of each point from a middle one, in float32: what the graph takes. */
export function nearOrigin(points) {
  const middle = middlePoint(points);
  return Float32Array.from(points, (value, i) => (value - middle[i % 3]) / 2);
}

/** A point in the middle of the shape, which single far ones do not move. */
export function middlePoint(points) {
  const count = points.length / 3;
  const some = Array.from({ length: 64 }, (_, i) => Math.floor(((i * 0.6180339887) % 1) * count));
  return [0, 1, 2].map((axis) => median(some.map((place) => points[3 * place + axis])));
}

/**
 * Which points are strays, by the rule of `pointstill.points.strays`.
 * @returns {Uint8Array} 1 for a stray.
 */
export function strays(points) {
  const count = points.length / 3;
  const places = Array.from({ length: COUNT }, (_, i) =>
    Math.floor((i * count + Math.floor((((i * 40503) % 65536) * count) / 65536)) / COUNT));
  const beyond = (squares, part) => {
    const values = Float64Array.from(places, (place) => squares[place]).sort();
    return values[COUNT - 1 - Math.ceil(COUNT / part)];
  };
  let squares = squaresFrom(points, mean(points, () => true));
  const bound = beyond(squares, 10);
  squares = squaresFrom(points, mean(points, (i) => squares[i] <= bound));
  const bounds = [1.7 ** 2 * beyond(squares, 50), 2.5 ** 2 * beyond(squares, 10)];
  return Uint8Array.from(squares, (square) => Number(bounds.some((most) => square > most)));
}

/** So many points at equal strides: their places. */
export function strides(count, most) {
  const few = Math.min(count, most);
  return Array.from({ length: few }, (_, i) => Math.floor((i * count) / few));
}

/** Some points of a cloud, by their places. */
export function take(points, places) {
  const taken = new points.constructor(3 * places.length);
  places.forEach((place, i) => taken.set(points.subarray(3 * place, 3 * place + 3), 3 * i));
  return taken;
}

function mean(points, wanted) {
  const sums = [0, 0, 0];
  let count = 0;
  for (let i = 0; i < points.length / 3; i += 1) {
    if (!wanted(i)) continue;
    count += 1;
    for (let axis = 0; axis < 3; axis += 1) sums[axis] += points[3 * i + axis];
  }
  return sums.map((sum) => sum / count);
}

function squaresFrom(points, middle) {
  return Float64Array.from({ length: points.length / 3 }, (_, i) =>
    middle.reduce((sum, value, axis) => sum + (points[3 * i + axis] - value) ** 2, 0));
}

function box(points) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  points.forEach((value, i) => {
    low[i % 3] = Math.min(low[i % 3], value);
    high[i % 3] = Math.max(high[i % 3], value);
  });
  return { low, high };
}

function size(points) {
  const { low, high } = box(points);
  return Math.hypot(...high.map((value, axis) => value - low[axis]));
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length / 2)];
}
