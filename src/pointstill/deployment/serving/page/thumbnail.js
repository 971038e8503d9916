// A small picture of a sample: its points, seen from the side and a little from above.

/**
 * Draw points on a canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {Float64Array} xyz 3 coordinates a point.
 * @param {string} up the axis that points up.
 */
export function drawThumbnail(canvas, xyz, up) {
  const size = 58, ratio = Math.min(devicePixelRatio, 2);
  canvas.width = canvas.height = size * ratio;
  const flat = [];
  for (let i = 0; i < xyz.length; i += 3) {
    const [x, y, z] = [xyz[i], xyz[i + 1], xyz[i + 2]];
    const [across, height, deep] = { x: [-y, x, z], y: [x, y, z], z: [x, z, -y] }[up];
    flat.push([0.82 * across - 0.57 * deep, height - 0.22 * (0.57 * across + 0.82 * deep)]);
  }
  const low = [0, 1].map((axis) => Math.min(...flat.map((each) => each[axis])));
  const high = [0, 1].map((axis) => Math.max(...flat.map((each) => each[axis])));
  const scale = (0.9 * size) / Math.max(high[0] - low[0], high[1] - low[1]);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = getComputedStyle(canvas).color;
  context.globalAlpha = 0.6;
  for (const each of flat) {
    const [x, y] = [0, 1].map((axis) => (each[axis] - (low[axis] + high[axis]) / 2) * scale);
    context.fillRect(size / 2 + x - 0.6, size / 2 - y - 0.6, 1.2, 1.2);
  }
}
