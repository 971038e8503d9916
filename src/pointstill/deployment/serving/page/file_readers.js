// Files to points, in the browser: three.js' loaders, and text by itself.

import { placesOf } from "./channels.js";
import { CloudError } from "./cloud.js";
import { surface } from "./triangles.js";

const ADDONS = "./vendor/three/addons/loaders/";
const MOST_BYTES = 64 << 20;

/**
 * Read a cloud or a mesh.
 * @param {string} name of the file: its suffix says what it is.
 * @param {ArrayBuffer} content
 * @param {string} up the axis that points up: x, y or z; glTF has y up, and is turned.
 * @param {{features: string[], columns: object}} wanted features, `xyz` first, that are read where
 *   a file has them; and what files call some columns.
 * @returns {Promise<{table: object, rounded: boolean}>} feature -> Float64Array, point by point; and
 *   whether numbers went through float32.
 */
export async function readFile(name, content, up, wanted) {
  const suffix = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  if (!name.includes(".") || !Object.hasOwn(READERS, suffix)) {
    throw new CloudError(`${name} is of no format that is read`, `give ${Object.keys(READERS).join(", ")}`);
  }
  if (content.byteLength > MOST_BYTES) {
    throw new CloudError(`${name} has more than ${MOST_BYTES >> 20} MiB`, "give a smaller file");
  }
  if (Object.keys(wanted.columns).length && !NAMED.includes(suffix)) {
    throw new CloudError(
      `${name} is read by the names x, y and z here, and the student learned from columns of other names`,
      `give ${NAMED.join(", ")}, or use \`pointstill serve\``,
    );
  }
  let read;
  try {
    read = await READERS[suffix](content, { up, ...wanted });
  } catch (error) {
    if (error instanceof CloudError) throw error;
    throw new CloudError(`${name} is damaged, or not a .${suffix} file`);
  }
  return { table: read.table ?? { xyz: read.xyz }, rounded: read.rounded };
}

const NAMED = ["ply", "xyz", "txt", "csv"]; // formats of which columns are read by name

const READERS = {
  async ply(content, wanted) {
    const { PLYLoader } = await import(`${ADDONS}PLYLoader.js`);
    const loader = new PLYLoader();
    const found = plyColumns(content, wanted);
    loader.setCustomPropertyNameMapping(Object.fromEntries(found.map(([feature, names]) => [OWN + feature, names])));
    const geometry = loader.parse(content);
    checkCount(/^element\s+vertex\s+(\d+)/m, content, geometry);
    if (geometry.index) return ofGeometry(geometry, true);
    const arrays = found.map(([feature]) => [feature, geometry.getAttribute(OWN + feature)?.array]);
    const table = Object.fromEntries(arrays.filter(([, array]) => array).map(([feature, array]) => [feature, Float64Array.from(array)]));
    if (!table.xyz?.length) throw new CloudError("The file has no points");
    return { table, rounded: arrays.some(([, array]) => array instanceof Float32Array) };
  },
  async pcd(content) {
    const { PCDLoader } = await import(`${ADDONS}PCDLoader.js`);
    const { geometry } = new PCDLoader().parse(content);
    checkCount(/^POINTS\s+(\d+)/m, content, geometry);
    return ofGeometry(geometry, false);
  },
  async stl(content) {
    const { STLLoader } = await import(`${ADDONS}STLLoader.js`);
    return ofGeometry(new STLLoader().parse(content), true);
  },
  async obj(content) {
    const { OBJLoader } = await import(`${ADDONS}OBJLoader.js`);
    return ofScene(new OBJLoader().parse(text(content)), (x, y, z) => [x, y, z]);
  },
  async glb(content, { up }) {
    const [{ GLTFLoader }, { LoadingManager }] = await Promise.all([
      import(`${ADDONS}GLTFLoader.js`), import("./vendor/three/three.module.js"),
    ]);
    const manager = new LoadingManager();
    // What a file names beside itself is not fetched; its own images are blobs.
    manager.setURLModifier((url) => (url.startsWith("blob:") ? url : "data:,"));
    const { scene } = await new GLTFLoader(manager).parseAsync(content, "");
    const turned = { x: (x, y, z) => [y, -x, z], y: (x, y, z) => [x, y, z], z: (x, y, z) => [x, -z, y] };
    return ofScene(scene, turned[up]);
  },
  xyz: ofText,
  txt: ofText,
  csv: ofText,
};

const OWN = "own "; // before the names that we give to attributes: three.js has names of its own

/** The features that a PLY has, each with the names of its properties. */
function plyColumns(content, { features, columns }) {
  const [head] = text(content.slice(0, 1 << 16)).split("end_header");
  const [, vertex = ""] = /^element\s+vertex\s[^\n]*\n([^]*?)(?=^element|$(?![^]))/m.exec(head) ?? [];
  const names = Array.from(vertex.matchAll(/^property\s+\w+\s+(\S+)/gm), (found) => found[1]);
  const found = features.map((feature) => [feature, placesOf(feature, names, columns)?.map((place) => names[place])]);
  return found.filter(([, own]) => own);
}

/** Text of a point a line: the first three numbers, or columns by name where a line has names. */
function ofText(content, wanted) {
  const lines = text(content).split(/\r?\n/).map((line) => line.trim()).filter((line) => line && !/^(#|\/\/)/.test(line));
  const cells = (line) => line.split(/[\s,;]+/).filter((cell) => cell);
  let names = cells(lines[0] ?? "").map((cell) => cell.replace(/"/g, "").toLowerCase());
  if (names.some((name) => Number.isNaN(Number(name)) && name !== "nan")) lines.shift();
  else {
    if (names.length === 1) lines.shift(); // a count
    names = cells(lines[0] ?? "").map((_, i) => "xyz"[i] ?? `${i}`); // which can be asked for by number
  }
  const places = wanted.features.map((feature) => [feature, placesOf(feature, names, wanted.columns)]).filter(([, found]) => found);
  if (places[0]?.[0] !== "xyz") {
    throw new CloudError(names.join("").startsWith("xyz") ? "The file has no columns of the names that the student learned from" : "The first line names no columns x, y and z");
  }
  const table = Object.fromEntries(places.map(([feature, found]) => [feature, new Float64Array(found.length * lines.length)]));
  lines.forEach((line, i) => {
    const row = cells(line);
    for (const [feature, found] of places) {
      found.forEach((column, k) => {
        const value = row[column];
        const number = Number(value);
        if (value === undefined || (Number.isNaN(number) && !/^[-+]?(nan|inf(inity)?)$/i.test(value))) {
          throw new CloudError(`Line ${i + 1} of the points is no point (${line.slice(0, 40)})`);
        }
        table[feature][found.length * i + k] = number;
      });
    }
  });
  return { table, rounded: false };
}

function ofGeometry(geometry, mesh) {
  const position = geometry.getAttribute("position");
  if (!position) throw new CloudError("The file has no points");
  if (!mesh) return { xyz: Float64Array.from(position.array), rounded: true };
  return { xyz: surface(corners(geometry, (place) => [0, 1, 2].map((axis) => position.array[3 * place + axis]))), rounded: true };
}

/** All triangles of a scene, or its points where it has none. */
function ofScene(scene, turn) {
  scene.updateMatrixWorld(true);
  const triangles = [], points = [];
  scene.traverse((object) => {
    const position = object.geometry?.getAttribute("position");
    if (!position) return;
    const at = (place) => {
      const [x, y, z] = [position.getX(place), position.getY(place), position.getZ(place)];
      const m = object.matrixWorld.elements;
      return turn(...[0, 1, 2].map((row) => m[row] * x + m[4 + row] * y + m[8 + row] * z + m[12 + row]));
    };
    if (object.isMesh) for (const value of corners(object.geometry, at)) triangles.push(value);
    else if (object.isPoints) for (let i = 0; i < position.count; i += 1) points.push(...at(i));
  });
  if (!triangles.length && !points.length) throw new CloudError("The file has no faces and no points");
  return { xyz: triangles.length ? surface(triangles) : Float64Array.from(points), rounded: true };
}

function corners(geometry, at) {
  const index = geometry.index;
  const count = index ? index.count : geometry.getAttribute("position").count;
  const found = [];
  for (let i = 0; i < count - (count % 3); i += 1) found.push(...at(index ? index.getX(i) : i));
  return found;
}

/** Find out files that were cut off where a loader does not notice. */
function checkCount(pattern, content, geometry) {
  const head = text(content.slice(0, 1 << 16));
  const announced = Number(pattern.exec(head)?.[1]);
  const there = geometry.getAttribute("position")?.count ?? 0;
  if (there < announced) {
    throw new CloudError(`The file is truncated (it announces ${announced} points, but has ${there})`);
  }
}

function text(content) {
  return new TextDecoder().decode(content);
}
