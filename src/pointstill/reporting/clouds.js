// Clouds that turn: a <canvas data-points> each, of three bytes a point: right, deep and up.
"use strict";

const SPEED = 0.4; // radians a second
const STEP = Math.PI / 18; // a key press
const SHADES = [[0.25, 1.4], [0.45, 1.7], [0.7, 2], [1, 2.4]]; // opacity and width, far to near
const TURN = 0.6, TILT = 0.4; // how the camera stands at first, in radians

class Cloud {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.points = Array.from(atob(canvas.dataset.points), (byte) => byte.charCodeAt(0) / 127.5 - 1);
    this.visible = this.held = false;
    this.turn = TURN;
    this.tilt = TILT;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.from = [event.clientX, event.clientY];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      const [x, y] = this.from;
      this.from = [event.clientX, event.clientY];
      this.by((event.clientX - x) / 80, (event.clientY - y) / 80);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Home") [this.turn, this.tilt] = [TURN, TILT];
    else if (!steps[event.key]) return;
    event.preventDefault();
    const [x, y] = steps[event.key] ?? [0, 0];
    this.by(x * STEP, y * STEP);
  }

  by(turn, tilt) {
    this.held = true; // whoever turns it by hand wants to look
    this.turn += turn;
    this.tilt = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, this.tilt + tilt));
    this.draw();
  }

  draw() {
    const { canvas, context, points } = this;
    const ratio = Math.min(devicePixelRatio, 2), side = canvas.clientWidth;
    if (!side) return;
    if (canvas.width !== Math.round(side * ratio)) {
      canvas.width = canvas.height = Math.round(side * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, side, side);
    context.fillStyle = getComputedStyle(canvas).color;
    const [sin, cos] = [Math.sin(this.turn), Math.cos(this.turn)];
    const [down, along] = [Math.sin(this.tilt), Math.cos(this.tilt)];
    const dots = SHADES.map(() => []);
    for (let i = 0; i < points.length; i += 3) {
      const right = points[i] * cos - points[i + 1] * sin;
      const away = points[i] * sin + points[i + 1] * cos;
      const depth = away * along - points[i + 2] * down;
      const shade = Math.min(SHADES.length - 1, Math.max(0, Math.floor((1 - depth) * 2)));
      dots[shade].push(right, points[i + 2] * along + away * down);
    }
    const scale = side * 0.47;
    dots.forEach((places, shade) => {
      const [opacity, width] = SHADES[shade];
      context.globalAlpha = opacity;
      for (let i = 0; i < places.length; i += 2) {
        const [x, y] = [side / 2 + places[i] * scale, side / 2 - places[i + 1] * scale];
        context.fillRect(x - width / 2, y - width / 2, width, width);
      }
    });
  }
}

const clouds = new Map(
  Array.from(document.querySelectorAll("canvas[data-points]"), (each) => [each, new Cloud(each)]),
);
const button = document.getElementById("turning");
let turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
let before = 0;

function frame(now) {
  const step = (SPEED * Math.min(now - before, 100)) / 1000;
  before = now;
  for (const cloud of clouds.values()) {
    if (!cloud.visible || cloud.held) continue;
    cloud.turn += step;
    cloud.draw();
  }
  if (turning) requestAnimationFrame(frame);
}

function turn(on) {
  turning = on;
  button.textContent = on ? "Stop turning" : "Turn";
  if (!on) return;
  for (const cloud of clouds.values()) cloud.held = false;
  requestAnimationFrame(frame);
}

function drawAll() {
  for (const cloud of clouds.values()) cloud.draw();
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) clouds.get(target).visible = isIntersecting;
});
for (const canvas of clouds.keys()) seen.observe(canvas);
new ResizeObserver(drawAll).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
button.hidden = false;
button.addEventListener("click", () => turn(!turning));
drawAll();
turn(turning);
