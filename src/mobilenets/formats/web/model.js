// A Model in the engine: images in, what its task says of them out. Numbers are those of Python's decode().

const NATURAL_LIMIT = 40e6; // pixels of an image above which the browser makes it smaller first

async function decoded(image) {
  const file = typeof Blob !== "undefined" && image instanceof Blob;
  return file ? createImageBitmap(image, { colorSpaceConversion: "none" }) : image;
}

// RGBA pixels of what a canvas can draw, on white; at their own size, each byte as it was decoded. `full` is its width
// and height, where the browser made it smaller.
function pixelsOf(source) {
  if (typeof ImageData !== "undefined" && source instanceof ImageData) return source;
  if (source.data && source.width && source.height) return source;
  let width = source.videoWidth ?? source.naturalWidth ?? source.displayWidth ?? source.width;
  let height = source.videoHeight ?? source.naturalHeight ?? source.displayHeight ?? source.height;
  if (!(width > 0 && height > 0)) throw new Error("The image is empty, or not loaded yet.");
  const full = [width, height], scale = Math.min(1, Math.sqrt(NATURAL_LIMIT / (width * height)));
  width = Math.max(1, Math.round(width * scale));
  height = Math.max(1, Math.round(height * scale));
  const canvas = typeof OffscreenCanvas === "undefined" ? document.createElement("canvas") : new OffscreenCanvas(width, height);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height, full };
}

const sigmoid = (logit) => (logit >= 0 ? 1 : Math.exp(logit)) / (1 + Math.exp(-Math.abs(logit)));

// The energy of some logits: the logarithm of the sum of their powers.
function energyOf(logits) {
  const most = logits.reduce((largest, value) => Math.max(largest, value), -Infinity);
  return most + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

// Labels with their probabilities, likeliest first.
function likeliest(labels, probabilities) {
  return labels.map((label, i) => ({ label, probability: probabilities[i] })).sort((a, b) => b.probability - a.probability);
}

function classesOf(outputs, { labels, temperature = 1, unknown: known }, { top = 5, unknown = false, threshold }) {
  const logits = Array.from(outputs[0]);
  const scaled = logits.map((value) => value / temperature), energy = energyOf(scaled);
  const found = likeliest(labels, scaled.map((value) => Math.exp(value - energy))).slice(0, top);
  if (!unknown && threshold === undefined) return { labels: found };
  if (unknown && !known)
    throw new Error("The Model has no threshold that tells unknown images; mobilenets calibrate adds one.");
  const strange = unknown && energyOf(logits) < known.energy;
  return { unknown: strange || (threshold !== undefined && found[0].probability < threshold), labels: found };
}

function labelsOf(outputs, { labels, thresholds = [] }) {
  const probabilities = Object.fromEntries(labels.map((label, i) => [label, sigmoid(outputs[0][i])]));
  const given = labels.filter((label, i) => probabilities[label] >= (thresholds[i] ?? 0.5));
  return { labels: likeliest(given, given.map((label) => probabilities[label])), probabilities };
}

// Centre, width and height of every anchor, or of every cell of a grid, as shares of the input.
function anchorsOf(levels) {
  return Float32Array.from(levels.flatMap(({ rows, columns, shapes }) =>
    Array.from({ length: rows * columns }, (_, cell) =>
      shapes.map(([width, height]) => [
        ((cell % columns) + 0.5) / columns, (Math.floor(cell / columns) + 0.5) / rows, width, height,
      ])).flat(2)));
}

// Boxes and scores of a grid of objects' centres: a score is 0 where a neighbouring cell has a higher one.
function centresOf(logits, { rows, columns, sizes }) {
  const cells = rows * columns, classes = sizes.length, real = Math.fround;
  const scores = new Float32Array(cells * classes), peaks = new Float32Array(cells * classes);
  const boxes = new Float32Array(4 * cells), places = anchorsOf([{ rows, columns, shapes: [[0, 0]] }]);
  for (let cell = 0; cell < cells; cell++) {
    const own = Array.from({ length: classes + 1 }, (_, c) => logits[c * cells + cell]), most = Math.max(...own);
    const powers = own.map((value) => real(Math.exp(real(value - most))));
    const sum = powers.reduce((total, value) => real(total + value), 0);
    for (let c = 0; c < classes; c++) scores[cell * classes + c] = real(powers[c + 1] / sum);
    const mine = scores.subarray(cell * classes, (cell + 1) * classes);
    const half = sizes[mine.indexOf(Math.max(...mine))].map((side) => real(real(side) / 2));
    for (let axis = 0; axis < 2; axis++) {
      boxes[4 * cell + axis] = places[4 * cell + axis] - half[axis];
      boxes[4 * cell + 2 + axis] = places[4 * cell + axis] + half[axis];
    }
  }
  const at = (row, column, c) =>
    row < 0 || row >= rows || column < 0 || column >= columns ? 0 : scores[(row * columns + column) * classes + c];
  const around = [-1, 0, 1].flatMap((down) => [-1, 0, 1].map((across) => [down, across]));
  for (let i = 0; i < peaks.length; i++) {
    const cell = Math.floor(i / classes), row = Math.floor(cell / columns), column = cell % columns;
    const highest = around.every(([down, across]) => at(row + down, column + across, i % classes) <= scores[i]);
    peaks[i] = highest ? scores[i] : 0;
  }
  return [boxes, peaks];
}

// Objects as in COCO's results: `bbox` is left, top, width and height in pixels of the image; categories count from 1.
function boxesOf(outputs, task, { top, threshold = task.score_threshold }, { engine, detection, image }) {
  const { head, labels } = task;
  const rule = {
    iouThreshold: task.iou_threshold, scoreThreshold: threshold, most: top ?? detection.most,
    mostCandidates: detection.most_candidates, classAgnostic: task.class_agnostic,
  };
  const kept = head.kind === "anchors"
    ? engine.detect(detection.anchors ??= anchorsOf(head.levels), {
      coder: head.coder, largestLogarithm: detection.largest_logarithm, background: head.scores === "softmax",
      classes: labels.length,
    }, rule)
    : engine.suppress(...centresOf(outputs[0], head), rule);
  const { used: [left, top_, right, bottom], width, height, full: [across, down] } = image;
  const place = (share, begin, end, size, whole) =>
    Math.min(whole, Math.max(0, (share * (end - begin) + begin) * (whole / size)));
  const detections = kept.map(({ box, score, index }) => {
    const [x, y, x2, y2] = box.map((share, side) =>
      side % 2 ? place(share, top_, bottom, height, down) : place(share, left, right, width, across));
    return { category_id: index + 1, label: labels[index], bbox: [x, y, x2 - x, y2 - y], score };
  });
  return { width: across, height: down, detections: detections.filter(({ bbox }) => bbox[2] * bbox[3] > 0) };
}

// What the outputs of each task mean. A task that is not here gives its outputs only.
const DECODERS = {
  classification: classesOf,
  detection: boxesOf,
  features: (outputs) => ({ features: outputs[0] }),
  multilabel: labelsOf,
};

class Model {
  #engine;
  #detection;

  constructor(engine, description) {
    this.#engine = engine;
    this.#detection = description.detection;
    this.task = description.task;
    this.outputNames = description.outputs;
    this.network = description.network;
    this.precision = description.precision;
    this.inputSize = { height: engine.height, width: engine.width, channels: engine.channels };
    this.instructionSet = engine.instructionSet;
  }

  get labels() {
    return this.task.labels;
  }

  // What the Model says about an image: ImageData, a Blob, or whatever a canvas draws.
  async predict(image, options = {}) {
    const decode = DECODERS[this.task.kind];
    if (!decode) throw new Error(`This module does not decode the outputs of the task ${this.task.kind}; outputs() gives them.`);
    const pixels = pixelsOf(await decoded(image)), begin = performance.now();
    const outputs = this.#run(pixels);
    const { width, height, full = [width, height] } = pixels, used = this.#engine.used;
    const told = { engine: this.#engine, detection: this.#detection, image: { used, width, height, full } };
    const prediction = decode(outputs, this.task, options, told);
    return { ...prediction, milliseconds: performance.now() - begin };
  }

  // The network's outputs for an image, by name: Float32Array, (channels, height, width).
  async outputs(image) {
    const pixels = pixelsOf(await decoded(image));
    return this.#named(this.#run(pixels));
  }

  // The same for pixels of the network's own size: Uint8Array, (height, width, channels).
  outputsOf(pixels) {
    const input = this.#engine.input;
    if (pixels.length !== input.length)
      throw new Error(`There are ${pixels.length} bytes; the network reads ${input.length}.`);
    input.set(pixels);
    return this.#named(this.#engine.run());
  }

  // The input that the network gets for an image: Uint8Array, (height, width, channels).
  async prepared(image) {
    const pixels = pixelsOf(await decoded(image));
    this.#engine.prepare(pixels);
    return this.#engine.input.slice();
  }

  // In one go: the engine has one input, and another image may be waiting for it.
  #run(pixels) {
    this.#engine.prepare(pixels);
    return this.#engine.run();
  }

  #named(outputs) {
    return Object.fromEntries(outputs.map((values, i) => [this.outputNames[i], values]));
  }
}
