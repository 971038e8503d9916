// The cloud in 3D, to be turned by pointer, finger and keys. Drawn when something changes.

import * as three from "./vendor/three/three.module.js";
import { OrbitControls } from "./vendor/three/addons/controls/OrbitControls.js";
import { middlePoint } from "./cloud.js";

const TURN = Math.PI / 18; // a key press
const VIEW = [1.5, 0.85, 2.1];

export class Viewer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {string} up the axis of clouds that points up.
   * @throws where there is no WebGL.
   */
  constructor(canvas, up) {
    this.canvas = canvas;
    this.up = up;
    this.renderer = new three.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.scene = new three.Scene();
    this.camera = new three.PerspectiveCamera(36, 1, 0.05, 50);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enablePan = false;
    this.controls.minDistance = 1.2;
    this.controls.maxDistance = 8;
    this.controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.reset();
  }

  /**
   * Show points.
   * @param {Float32Array} points 3 coordinates each.
   * @param {Uint8Array} stray 1 for those that were left out: they do not decide how large it is.
   */
  show(points, stray) {
    const body = points.filter((_, i) => !stray[Math.floor(i / 3)]);
    const middle = boxMiddle(body);
    const radius = Math.max(...distances(body, middle)) || 1;
    const places = new Float32Array(points.length);
    for (let i = 0; i < points.length; i += 3) {
      const [x, y, z] = [0, 1, 2].map((axis) => (points[i + axis] - middle[axis]) / radius);
      places.set({ x: [-y, x, z], y: [x, y, z], z: [x, z, -y] }[this.up], i);
    }
    this.beyond = places.some((value) => Math.abs(value) > 1.2); // the picture, as it is at first
    this.cloud?.geometry.dispose();
    if (this.cloud) this.scene.remove(this.cloud);
    const geometry = new three.BufferGeometry();
    geometry.setAttribute("position", new three.BufferAttribute(places, 3));
    geometry.setAttribute("color", new three.BufferAttribute(new Float32Array(points.length), 3));
    const dot = Math.min(0.09, Math.max(0.025, 1.3 / Math.sqrt(points.length / 3)));
    this.material ??= new three.PointsMaterial({ vertexColors: true, map: disc(), alphaTest: 0.5 });
    this.material.size = dot;
    this.cloud = new three.Points(geometry, this.material);
    this.cloud.frustumCulled = false;
    this.scene.add(this.cloud);
  }

  /** Paint each point in a colour of CSS, such as "#a85424". */
  paint(colourOf) {
    if (!this.cloud) return;
    const colours = this.cloud.geometry.getAttribute("color");
    const colour = new three.Color();
    for (let i = 0; i < colours.count; i += 1) {
      colour.set(colourOf(i));
      colours.setXYZ(i, colour.r, colour.g, colour.b);
    }
    colours.needsUpdate = true;
    this.draw();
  }

  reset() {
    this.camera.position.set(...VIEW).setLength(3.5);
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.draw();
  }

  key(event) {
    const at = new three.Spherical().setFromVector3(this.camera.position);
    const keys = {
      ArrowLeft: () => { at.theta -= TURN; },
      ArrowRight: () => { at.theta += TURN; },
      ArrowUp: () => { at.phi -= TURN; },
      ArrowDown: () => { at.phi += TURN; },
      "+": () => { at.radius /= 1.15; },
      "=": () => { at.radius /= 1.15; },
      "-": () => { at.radius *= 1.15; },
    };
    if (event.key === "Home") this.reset();
    else if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) keys[event.key]();
    else return;
    event.preventDefault();
    if (event.key === "Home") return;
    at.radius = Math.min(this.controls.maxDistance, Math.max(this.controls.minDistance, at.radius));
    this.camera.position.setFromSpherical(at.makeSafe());
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    this.renderer.render(this.scene, this.camera);
  }
}

function boxMiddle(points) {
  if (!points.length) return middlePoint(points);
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  points.forEach((value, i) => {
    low[i % 3] = Math.min(low[i % 3], value);
    high[i % 3] = Math.max(high[i % 3], value);
  });
  return low.map((value, axis) => (value + high[axis]) / 2);
}

function* distances(points, middle) {
  for (let i = 0; i < points.length; i += 3) {
    yield Math.hypot(...middle.map((value, axis) => points[i + axis] - value));
  }
}

function disc() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.arc(32, 32, 31, 0, 2 * Math.PI);
  context.fill();
  return new three.CanvasTexture(canvas);
}
