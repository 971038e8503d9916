// Classification in this browser, by ONNX Runtime Web: nothing leaves it.

import { inUnits, isChannel, sideBySide, widthOf } from "./channels.js";
import { checkPoints, CloudError, finite, nearOrigin, strays, strides, take, turnUp } from "./cloud.js";
import { readFile } from "./file_readers.js";
import { FEWEST, grouped, importance } from "./parts.js";
import * as ort from "./vendor/onnxruntime/ort.wasm.min.mjs";

const SHOWN = 4096; // points that are shown, and of which parts are left out
const ENOUGH = 0.5; // of the points that training clouds had

ort.env.wasm.wasmPaths = new URL("./vendor/onnxruntime/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that a plain folder does not send

export class HereClassifier {
  constructor(site) {
    this.site = site;
    const features = [...new Set(site.students.flatMap((student) => student.features))];
    this.wanted = { features, columns: site.columns };
    this.sessions = site.students.map(async ({ file, features: own }) => {
      const response = await fetch(encodeURI(file));
      if (!response.ok) throw new Error(`${file} is not there`);
      const session = await ort.InferenceSession.create(await response.arrayBuffer(), { executionProviders: ["wasm"] });
      const wide = widthOfAll(own);
      await run(session, Float32Array.from({ length: wide * 512 }, (_, i) => Math.sin(i * i)), wide); // the first is slow
      return session;
    });
  }

  /**
   * Classify a file; `tell` is called with the answers, and again when the parts are known.
   * @param {string} name of the file.
   * @param {ArrayBuffer} content
   * @param {string} up the axis that points up in it.
   * @param {(result: object) => void} tell
   */
  async classify(name, content, up, tell) {
    const { table, rounded } = await readFile(name, content, up, this.wanted);
    const channels = this.wanted.features.filter(isChannel);
    for (const { name: student, features } of this.site.students) checkFeatures(student, features, table);
    const there = finite(table.xyz, channels.map((each) => table[each]));
    const count = there.length, lost = table.xyz.length / 3 - count;
    const without = ["coordinates", ...channels].join(" or ");
    const notes = lost ? [`${lost.toLocaleString("en")} points without finite ${without} were left out`] : [];
    for (const feature of Object.keys(table)) table[feature] = take(table[feature], there, widthOf(feature));
    for (const feature of ["xyz", "normal"]) {
      if (table[feature]) table[feature] = turnUp(table[feature], up, this.site.up);
    }
    const stray = strays(table.xyz);
    const two = (student) => student.normalization > 1;
    checkPoints(table.xyz, rounded, stray, !this.site.students.every(two));
    const near = nearOrigin(table.xyz);
    const values = { xyz: near };
    for (const feature of this.wanted.features.slice(1)) values[feature] = inUnits(feature, table[feature], rounded);
    const clouds = this.site.students.map(({ features }) =>
      sideBySide(features.map((feature) => ({ values: values[feature], width: widthOf(feature) }))));
    const few = strides(count, SHOWN);
    const answers = [];
    for (const [i, student] of this.site.students.entries()) {
      const session = await this.sessions[i];
      const started = performance.now();
      const logits = await run(session, clouds[i], widthOfAll(student.features));
      const milliseconds = performance.now() - started;
      answers.push({ ...readLogits(student, logits), milliseconds });
      if (count < ENOUGH * student.fewest) {
        notes.push(`${student.name}: the cloud has ${count} points, fewer than half of the ${student.fewest} that the student learned from: its answer is not to be trusted`);
      }
    }
    const left = this.site.students.some(two) ? takeEach(stray, few) : new Uint8Array(few.length);
    const cloud = { points: take(near, few), groups: null, stray: left };
    const result = { points: count, notes, answers, cloud };
    tell(result);
    if (few.length < FEWEST) return;
    cloud.groups = groupsOf(cloud.points, left);
    for (const [i, answer] of answers.entries()) {
      const session = await this.sessions[i];
      const wide = widthOfAll(this.site.students[i].features);
      answer.parts = await importance((some) => run(session, some, wide), take(clouds[i], few, wide), cloud.groups);
    }
    tell(result);
  }
}

const widthOfAll = (features) => features.reduce((sum, feature) => sum + widthOf(feature), 0);

function checkFeatures(student, features, table) {
  const gone = features.filter((feature) => !Object.hasOwn(table, feature));
  if (gone.length) {
    throw new CloudError(
      `The file has no ${gone.join(" and no ")}, which ${student} takes of each point`,
      "give a PLY, or a text with a line of names, that has columns of these names",
    );
  }
}

async function run(session, points, width) {
  const { data } = Object.values(
    await session.run({ points: new ort.Tensor("float32", points, [1, points.length / width, width]) }),
  )[0];
  return data;
}

/** Probabilities of logits, tempered; and how well the cloud is known, where there is a threshold. */
function readLogits(student, logits) {
  const { temperature = 1, threshold = null, typical = null } = student.calibration ?? {};
  if (!logits.every(Number.isFinite)) throw new Error(`${student.name} answers with no numbers`);
  const top = Math.max(...logits);
  const shares = Array.from(logits, (value) => Math.exp((value - top) / temperature));
  const total = shares.reduce((sum, value) => sum + value, 0);
  const classes = student.classes
    .map((name, i) => ({ name, probability: shares[i] / total }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 5);
  const energy = top + Math.log(Array.from(logits).reduce((sum, value) => sum + Math.exp(value - top), 0));
  const score = typical ? typicality(typical, logits, energy) : energy;
  return { student: student.name, classes, ...(threshold === null ? {} : { score, threshold }) };
}

/** The lower of how high the energy is and how near the logits are to the mean of their class. */
function typicality({ means, whitening, energy: [level, below], distance: [usual, beyond] }, logits, energy) {
  const mean = means[logits.indexOf(Math.max(...logits))];
  const distance = whitening.reduce(
    (sum, row) => sum + row.reduce((part, weight, i) => part + weight * (logits[i] - mean[i]), 0) ** 2, 0);
  return Math.min((energy - level) / below, (usual - distance) / beyond);
}

function groupsOf(points, stray) {
  const kept = Array.from(stray.keys()).filter((i) => !stray[i]);
  const groups = new Int16Array(stray.length).fill(-1);
  grouped(take(points, kept)).forEach((group, i) => { groups[kept[i]] = group; });
  return groups;
}

function takeEach(values, places) {
  return Uint8Array.from(places, (place) => values[place]);
}
