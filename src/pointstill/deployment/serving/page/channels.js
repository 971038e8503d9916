// What a point has beside its place: as columns of a file, and as a student takes it.
// The same as `pointstill.data.columns` and `pointstill.data.channels`, but for colours.

import { CloudError } from "./cloud.js";

const WIDTHS = { xyz: 3, normal: 3, intensity: 1 }; // any other is a channel of 1
const NAMES = {
  xyz: [["x", "y", "z"]],
  normal: [["nx", "ny", "nz"], ["normal_x", "normal_y", "normal_z"]],
  intensity: [["intensity"], ["scalar_intensity"]],
};
const BEYOND = 2 ** 24; // where float32 has no step of 1 any more

export const widthOf = (feature) => (Object.hasOwn(WIDTHS, feature) ? WIDTHS[feature] : 1);
export const isChannel = (feature) => !Object.hasOwn(WIDTHS, feature);

/**
 * Where the columns of a feature are.
 * @param {string} feature
 * @param {string[]} there the names of the columns of a file; case is the same.
 * @param {object} called our name of a column -> that of files, or its number.
 * @returns {number[] | null} places, or null where it is not there.
 */
export function placesOf(feature, there, called) {
  const small = there.map((name) => name.toLowerCase());
  const choices = Object.hasOwn(NAMES, feature) ? NAMES[feature] : [[feature]];
  for (const names of choices) {
    const places = names.map((name) => place(Object.hasOwn(called, name) ? called[name] : name, small));
    if (places.every((each) => each >= 0)) return places;
  }
  return null;
}

function place(name, small) {
  if (typeof name === "number") return name < small.length ? name : -1;
  const wanted = name.toLowerCase();
  if (small.filter((each) => each === wanted).length > 1) {
    throw new CloudError(`The file has several columns called ${name}`, "give each its own name");
  }
  return small.indexOf(wanted);
}

/** Numbers of a feature in the units in which students take it, `rounded` ones went through float32. */
export function inUnits(feature, values, rounded) {
  if (feature === "normal") return unitLength(values);
  let low = Infinity, high = -Infinity;
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (feature === "intensity") {
    if (!(low >= 0 && high < Infinity) || values.some(Number.isNaN)) {
      throw new CloudError("The file has intensities that are negative or not finite");
    }
    return values.map((value) => value / (high || 1));
  }
  if (low < BEYOND && high > -BEYOND) return values;
  if (rounded) throw new CloudError(`The file has ${feature} so far from 0 that it was rounded`, "subtract a number from it");
  return values.map((value) => value - low);
}

/** A normal that is zero or not finite is unknown: zeros. */
function unitLength(normals) {
  const unit = new Float64Array(normals.length);
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]);
    if (!(length > 0 && length < Infinity)) continue;
    for (let axis = 0; axis < 3; axis += 1) unit[i + axis] = normals[i + axis] / length;
  }
  if (unit.every((value) => value === 0)) throw new CloudError("The file has normals that are all zero, NaN or infinite");
  return unit;
}

/** Features side by side, point by point: arrays and their widths -> one Float32Array. */
export function sideBySide(parts) {
  const whole = parts.reduce((sum, { width }) => sum + width, 0);
  const count = parts[0].values.length / parts[0].width;
  const joined = new Float32Array(whole * count);
  let start = 0;
  for (const { values, width } of parts) {
    for (let i = 0; i < count; i += 1) {
      for (let k = 0; k < width; k += 1) joined[whole * i + start + k] = values[width * i + k];
    }
    start += width;
  }
  return joined;
}
