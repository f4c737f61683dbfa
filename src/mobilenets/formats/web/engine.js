// The engine in WebAssembly, and the one Model that it holds.

const NATURAL_LIMIT = 40e6; // pixels of an image above which the browser makes it smaller first

// Everything that the engine imports; it never calls any of it but where it gives up.
function imports(module) {
  const made = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (made[from] ??= {})[name] = () => 0;
  return made;
}

class Engine {
  #exports;
  #room = { address: 0, bytes: 0 };

  // `binaries` are the engine with relaxed dot products and the one without, `model` the bytes of the Model.
  static async load(binaries, model) {
    const binary = WebAssembly.validate(binaries.relaxed) ? binaries.relaxed : binaries.simd;
    if (binary !== binaries.relaxed && !WebAssembly.validate(binary))
      throw new Error("This browser is too old: it has no WebAssembly with SIMD (Chrome 91, Firefox 89, Safari 16.4).");
    const module = await WebAssembly.compile(binary);
    const { exports } = await WebAssembly.instantiate(module, imports(module));
    return new Engine(exports, model);
  }

  constructor(exports, model) {
    this.#exports = exports;
    exports._initialize?.();
    const place = this.#call("allocate", model.length);
    new Uint8Array(exports.memory.buffer, place, model.length).set(model);
    this.#call("load", place, model.length);
    this.#call("release", place);
    this.height = this.#call("input_height");
    this.width = this.#call("input_width");
    this.channels = this.#call("input_channels");
    this.instructionSet = this.#text(this.#call("instruction_set"));
    this.shapes = Array.from({ length: this.#call("output_count") }, (_, i) =>
      ["channels", "height", "width"].map((side) => this.#call(`output_${side}`, i)));
  }

  #text(address) {
    const bytes = new Uint8Array(this.#exports.memory.buffer, address);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
  }

  #call(name, ...values) {
    try {
      return this.#exports[name](...values);
    } catch (error) {
      throw new Error(this.#text(this.#exports.failure()) || `the engine failed: ${error.message}`);
    }
  }

  // Name of the kernel that computes a step.
  kernel(step) {
    return this.#text(this.#call("kernel", step));
  }

  // The input's bytes: (height, width, channels). They stay until the next image.
  get input() {
    return new Uint8Array(this.#exports.memory.buffer, this.#call("input"), this.height * this.width * this.channels);
  }

  // Makes the input out of RGBA pixels of any size, as the Model's preprocessing says.
  prepare({ data, width, height }) {
    if (this.#room.bytes < data.length) {
      if (this.#room.bytes) this.#call("release", this.#room.address);
      this.#room = { address: this.#call("allocate", data.length), bytes: data.length };
    }
    new Uint8Array(this.#exports.memory.buffer, this.#room.address, data.length).set(data);
    this.#call("prepare", this.#room.address, height, width);
  }

  // Runs the network on the input; gives each output as a Float32Array, (channels, height, width).
  run() {
    this.#call("run");
    return this.shapes.map((shape, i) =>
      new Float32Array(this.#exports.memory.buffer, this.#call("output", i), shape[0] * shape[1] * shape[2]).slice());
  }
}

// RGBA pixels of what a canvas can draw, on white; at their own size, each byte as it was decoded.
function pixelsOf(source) {
  if (typeof ImageData !== "undefined" && source instanceof ImageData) return source;
  if (source.data && source.width && source.height) return source;
  let width = source.videoWidth ?? source.naturalWidth ?? source.displayWidth ?? source.width;
  let height = source.videoHeight ?? source.naturalHeight ?? source.displayHeight ?? source.height;
  if (!(width > 0 && height > 0)) throw new Error("The image is empty, or not loaded yet.");
  const scale = Math.min(1, Math.sqrt(NATURAL_LIMIT / (width * height)));
  width = Math.max(1, Math.round(width * scale));
  height = Math.max(1, Math.round(height * scale));
  const canvas = typeof OffscreenCanvas === "undefined" ? document.createElement("canvas") : new OffscreenCanvas(width, height);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// What the outputs of each task mean. A task that is not here gives its outputs only.
const DECODERS = {
  classification(outputs, { labels, temperature = 1 }, top) {
    const logits = Array.from(outputs[0], (value) => value / temperature);
    const most = Math.max(...logits);
    const powers = logits.map((value) => Math.exp(value - most));
    const sum = powers.reduce((total, value) => total + value, 0);
    return {
      labels: powers
        .map((value, i) => ({ label: labels[i], probability: value / sum }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, top),
    };
  },
};

class Model {
  #engine;

  constructor(engine, description) {
    this.#engine = engine;
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
  async predict(image, { top = 5 } = {}) {
    const decode = DECODERS[this.task.kind];
    if (!decode) throw new Error(`This module does not decode the outputs of the task ${this.task.kind}; outputs() gives them.`);
    const { outputs, milliseconds } = await this.#run(image);
    return { ...decode(outputs, this.task, top), milliseconds };
  }

  // The network's outputs for an image, by name: Float32Array, (channels, height, width).
  async outputs(image) {
    const { outputs } = await this.#run(image);
    return Object.fromEntries(outputs.map((values, i) => [this.outputNames[i], values]));
  }

  // The same for pixels of the network's own size: Uint8Array, (height, width, channels).
  outputsOf(pixels) {
    const input = this.#engine.input;
    if (pixels.length !== input.length)
      throw new Error(`There are ${pixels.length} bytes; the network reads ${input.length}.`);
    input.set(pixels);
    return Object.fromEntries(this.#engine.run().map((values, i) => [this.outputNames[i], values]));
  }

  // The input that the network gets for an image: Uint8Array, (height, width, channels).
  async prepared(image) {
    await this.#prepare(image);
    return this.#engine.input.slice();
  }

  async #prepare(image) {
    let source = image;
    if (typeof Blob !== "undefined" && image instanceof Blob)
      source = await createImageBitmap(image, { colorSpaceConversion: "none" });
    const pixels = pixelsOf(source);
    const begin = performance.now();
    this.#engine.prepare(pixels);
    return begin;
  }

  async #run(image) {
    const begin = await this.#prepare(image);
    const outputs = this.#engine.run();
    return { outputs, milliseconds: performance.now() - begin };
  }
}
