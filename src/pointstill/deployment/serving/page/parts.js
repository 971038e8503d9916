// Which parts of a cloud decided: each of up to 64 groups of points is left out in turn.
// The same as `pointstill.deployment.serving.parts`, which tells what is meant.

import { LEAST_POINTS, take } from "./cloud.js";

const GROUPS = 64;
export const FEWEST = 32;

/** Which group each point is in: 3 n coordinates -> Int16Array of n. */
export function grouped(points, count = GROUPS) {
  const n = points.length / 3;
  const nearest = new Float64Array(n).fill(Infinity);
  const group = new Int16Array(n);
  let pick = 0;
  for (let number = 0; number < Math.min(count, Math.floor(n / 2)); number += 1) {
    const [x, y, z] = points.subarray(3 * pick, 3 * pick + 3);
    let farthest = -1;
    for (let i = 0; i < n; i += 1) {
      const square =
        (points[3 * i] - x) ** 2 + (points[3 * i + 1] - y) ** 2 + (points[3 * i + 2] - z) ** 2;
      if (square < nearest[i]) [nearest[i], group[i]] = [square, number];
      if (nearest[i] > farthest) [farthest, pick] = [nearest[i], i];
    }
    if (farthest === 0) break;
  }
  return group;
}

/** Log-odds of a class against all others together. */
export function logOdds(logits, index) {
  const others = Array.from(logits).filter((_, i) => i !== index);
  if (!others.length) return 0;
  const top = Math.max(...others);
  const sum = others.reduce((total, value) => total + Math.exp(value - top), 0);
  return logits[index] - top - Math.log(sum);
}

/**
 * By how much the log-odds of the answer fall without each group.
 * @param {(points: Float32Array) => Promise<Float32Array>} logits of some points.
 * @param {Float32Array} points of so many numbers each.
 * @param {Int16Array} group of each point; -1 for one that is in none.
 */
export async function importance(logits, points, group) {
  const width = points.length / group.length;
  const whole = await logits(points);
  const answer = whole.indexOf(Math.max(...whole));
  const start = logOdds(whole, answer);
  const falls = [];
  const all = Array.from(group, (_, i) => i);
  for (let number = 0; number <= Math.max(...group); number += 1) {
    const kept = all.filter((i) => group[i] !== number);
    const enough = kept.length >= LEAST_POINTS && kept.length < all.length;
    falls.push(enough ? start - logOdds(await logits(take(points, kept, width)), answer) : 0);
    if (number % 8 === 7) await new Promise((resolve) => setTimeout(resolve)); // let the page live
  }
  return falls;
}
