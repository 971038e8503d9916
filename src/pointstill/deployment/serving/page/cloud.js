// What makes coordinates a cloud that can be classified: as `pointstill.points` has it.

export const LEAST_POINTS = 8;
const STEPS = 500; // coordinates rounded to fewer steps than this across a cloud are refused
const SUSPECT = 25, DOT = 100; // as in `pointstill.points.validity`
const COUNT = 512; // points that are looked at for strays, spread over the cloud

/** A cloud or a file that cannot be used: what is wrong, and what to do. */
export class CloudError extends Error {
  constructor(what, fix = "") {
    super(fix ? `${what}: ${fix}` : what);
  }
}

/** The places of points whose coordinates, and all channels (1 number a point each), are finite. */
export function finite(xyz, channels = []) {
  const near = (value) => Math.abs(value) <= 3.4028234663852886e38; // NaN compares false
  const kept = [];
  for (let i = 0; i < xyz.length / 3; i += 1) {
    const there = near(xyz[3 * i]) && near(xyz[3 * i + 1]) && near(xyz[3 * i + 2]);
    if (there && channels.every((values) => near(values[i]))) kept.push(i);
  }
  return kept;
}

/** Turn points or normals by a right angle, so that `wanted` is up where `up` was. */
export function turnUp(points, up, wanted) {
  if (up === wanted) return points;
  const from = "xyz".indexOf(up), to = "xyz".indexOf(wanted);
  const turned = points.slice();
  for (let i = 0; i < points.length; i += 3) {
    turned[i + to] = points[i + from];
    turned[i + from] = -points[i + to];
  }
  return turned;
}

/**
 * Refuse what is no shape.
 * @param {Float64Array} points 3 n coordinates, finite.
 * @param {boolean} rounded whether they went through float32.
 * @param {Uint8Array} stray 1 for a stray.
 * @param {boolean} all whether strays are kept, by a student of the first normalisation.
 */
export function checkPoints(points, rounded, stray, all) {
  const count = points.length / 3;
  if (count < LEAST_POINTS) {
    throw new CloudError(`The cloud has ${count} points, but needs ${LEAST_POINTS}`);
  }
  if (size(points) === 0) throw new CloudError(`The cloud has ${count} points that are all the same`);
  const far = mayHaveFarStrays(points);
  const body = far || all ? points.filter((_, i) => !stray[Math.floor(i / 3)]) : points;
  const across = size(body);
  if (far && (across === 0 || across > DOT * size(middleHalf(body)))) {
    throw new CloudError("The cloud would be a dot beside its far points, of which there are too many for strays", FIX);
  }
  if (all && size(points) > DOT * across) throw new CloudError("The cloud has strays that press it together", FIX);
  const { low, high } = box(body);
  const largest = Math.max(...low.map(Math.abs), ...high.map(Math.abs));
  if (rounded && largest * 2 ** -23 > across / STEPS) {
    throw new CloudError(
      "The cloud lies so far from the origin that a browser rounds its shape away",
      "move it to the origin, or classify it with `pointstill predict`",
    );
  }
}

const FIX = "remove the points that are not of the shape, such as false returns at (0, 0, 0)";

/** Whether the box is large beside the middle distance of some points from their middle. */
function mayHaveFarStrays(points) {
  const { low, high } = box(points);
  const some = take(points, somePlaces(points.length / 3));
  const middle = middlePoint(points);
  const typical = median(farthestAxis(some, middle));
  return Math.max(...high.map((value, axis) => value - low[axis])) > SUSPECT * typical;
}

/** The half of the points that is nearest to their medians. */
function middleHalf(points) {
  const away = farthestAxis(points, [0, 1, 2].map((axis) => median(points.filter((_, i) => i % 3 === axis))));
  const nearest = Array.from(away.keys()).sort((a, b) => away[a] - away[b]);
  return take(points, nearest.slice(0, Math.ceil(nearest.length / 2)));
}

function farthestAxis(points, middle) {
  return Float64Array.from({ length: points.length / 3 }, (_, i) =>
    Math.max(...middle.map((value, axis) => Math.abs(points[3 * i + axis] - value))));
}

/** Half of the way of each point from a middle one, in float32: what the graph takes. */
export function nearOrigin(points) {
  const middle = middlePoint(points);
  return Float32Array.from(points, (value, i) => (value - middle[i % 3]) / 2);
}

/** A point in the middle of the shape, which single far ones do not move. */
export function middlePoint(points) {
  const some = somePlaces(points.length / 3);
  return [0, 1, 2].map((axis) => median(some.map((place) => points[3 * place + axis])));
}

function somePlaces(count) {
  return Array.from({ length: 64 }, (_, i) => Math.floor(((i * 0.6180339887) % 1) * count));
}

/**
 * Which points are strays, by the rule of `pointstill.points.strays`.
 * @returns {Uint8Array} 1 for a stray.
 */
export function strays(points) {
  const some = take(points, spread(points.length / 3));
  const beyond = (squares, part) => squares.slice().sort()[COUNT - 1 - Math.floor(COUNT / part)];
  let squares = squaresFrom(some, mean(some, () => true));
  const bound = beyond(squares, 10);
  const middle = mean(some, (i) => squares[i] <= bound);
  squares = squaresFrom(some, middle);
  const most = Math.min(1.7 ** 2 * beyond(squares, 50), 2.5 ** 2 * beyond(squares, 10));
  return Uint8Array.from(squaresFrom(points, middle), (square) => Number(square > most));
}

/** Places in a cloud, one in each of COUNT equal stretches, by the golden ratio (40503 / 65536). */
export function spread(count) {
  return Array.from({ length: COUNT }, (_, i) =>
    Math.floor(((i * 65536 + ((i * 40503) % 65536)) * count) / (COUNT * 65536)));
}

/** So many points at equal strides: their places. */
export function strides(count, most) {
  const few = Math.min(count, most);
  return Array.from({ length: few }, (_, i) => Math.floor((i * count) / few));
}

/** Some points of a cloud, by their places; `width` numbers each. */
export function take(points, places, width = 3) {
  const taken = new points.constructor(width * places.length);
  places.forEach((place, i) => taken.set(points.subarray(width * place, width * (place + 1)), width * i));
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
