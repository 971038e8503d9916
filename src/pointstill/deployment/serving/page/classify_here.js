// Classification in this browser, by ONNX Runtime Web: nothing leaves it.

import { checkOutliers, checkPoints, finite, nearOrigin, strays, strides, take } from "./cloud.js";
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
    this.sessions = site.students.map(async ({ file }) => {
      const response = await fetch(encodeURI(file));
      if (!response.ok) throw new Error(`${file} is not there`);
      const session = await ort.InferenceSession.create(await response.arrayBuffer(), { executionProviders: ["wasm"] });
      await run(session, Float32Array.from({ length: 3 * 512 }, (_, i) => Math.sin(i * i))); // the first is slow
      return session;
    });
  }

  /**
   * Classify a file; `tell` is called with the answers, and again when the parts are known.
   * @param {string} name of the file.
   * @param {ArrayBuffer} content
   * @param {(result: object) => void} tell
   */
  async classify(name, content, tell) {
    const read = await readFile(name, content, this.site.up);
    const { points, lost } = finite(read.xyz);
    checkPoints(points, read.rounded);
    const notes = lost ? [`${lost.toLocaleString("en")} points without finite coordinates were left out`] : [];
    const two = (student) => student.normalization > 1;
    if (!this.site.students.every(two)) checkOutliers(points);
    const count = points.length / 3;
    const few = strides(count, SHOWN);
    const all = nearOrigin(points), shown = take(all, few);
    const stray = this.site.students.some(two) ? takeEach(strays(points), few) : new Uint8Array(few.length);
    const answers = [];
    for (const [i, student] of this.site.students.entries()) {
      const session = await this.sessions[i];
      const started = performance.now();
      const logits = await run(session, all);
      const milliseconds = performance.now() - started;
      answers.push({ ...readLogits(student, logits), milliseconds });
      if (count < ENOUGH * student.fewest) {
        notes.push(`${student.name}: the cloud has ${count} points, fewer than half of the ${student.fewest} that the student learned from: its answer is not to be trusted`);
      }
    }
    const cloud = { points: shown, groups: null, stray };
    const result = { points: count, notes, answers, cloud };
    tell(result);
    if (few.length < FEWEST) return;
    cloud.groups = groupsOf(shown, stray);
    for (const [i, answer] of answers.entries()) {
      const session = await this.sessions[i];
      answer.parts = await importance((some) => run(session, some), shown, cloud.groups);
    }
    tell(result);
  }
}

async function run(session, points) {
  const { data } = Object.values(
    await session.run({ points: new ort.Tensor("float32", points, [1, points.length / 3, 3]) }),
  )[0];
  return data;
}

/** Probabilities of logits, tempered; and how well the cloud is known, where there is a threshold. */
function readLogits(student, logits) {
  const { temperature = 1, threshold = null } = student.calibration ?? {};
  if (!logits.every(Number.isFinite)) throw new Error(`${student.name} answers with no numbers`);
  const top = Math.max(...logits);
  const shares = Array.from(logits, (value) => Math.exp((value - top) / temperature));
  const total = shares.reduce((sum, value) => sum + value, 0);
  const classes = student.classes
    .map((name, i) => ({ name, probability: shares[i] / total }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 5);
  const score = top + Math.log(Array.from(logits).reduce((sum, value) => sum + Math.exp(value - top), 0));
  return { student: student.name, classes, ...(threshold === null ? {} : { score, threshold }) };
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
