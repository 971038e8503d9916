// Points of a surface, uniformly by area.

import { CloudError } from "./cloud.js";

const MESH_POINTS = 2048;

/**
 * Draw points of triangles (Osada et al. 2002, section 4.1), the same ones each time.
 * @param {number[]} corners 9 coordinates a triangle.
 * @returns {Float64Array} 3 coordinates a point.
 */
export function surface(corners) {
  const areas = [];
  let total = 0;
  for (let i = 0; i < corners.length; i += 9) {
    total += area(corners, i);
    areas.push(total);
  }
  if (!(total > 0) || !Number.isFinite(total)) {
    throw new CloudError("The mesh has no triangles with an area");
  }
  const draw = draws(1);
  const points = new Float64Array(3 * MESH_POINTS);
  for (let n = 0; n < MESH_POINTS; n += 1) {
    const from = 9 * above(areas, draw() * total);
    const root = Math.sqrt(draw()), across = draw();
    for (let axis = 0; axis < 3; axis += 1) {
      const [a, b, c] = [0, 3, 6].map((corner) => corners[from + corner + axis]);
      points[3 * n + axis] = (1 - root) * a + root * (1 - across) * b + root * across * c;
    }
  }
  return points;
}

function area(corners, i) {
  const u = [0, 1, 2].map((axis) => corners[i + 3 + axis] - corners[i + axis]);
  const v = [0, 1, 2].map((axis) => corners[i + 6 + axis] - corners[i + axis]);
  return Math.hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]);
}

/** The first place of rising numbers that is above one. */
function above(numbers, wanted) {
  let low = 0, high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Numbers in [0, 1): xorshift (Marsaglia 2003). */
function draws(seed) {
  let state = (seed * 2654435769) >>> 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
