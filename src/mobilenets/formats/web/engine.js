// The engine in WebAssembly, and the one Model that it holds.

// Small modules that a browser accepts if it has the instructions: a function of one relaxed swizzle, and of one popcount.
const HEAD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10];
const PROBES = {
  relaxed: [...HEAD, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
  simd: [...HEAD, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
};

// Everything that the engine imports; it never calls any of it but where it gives up.
function imports(module) {
  const made = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (made[from] ??= {})[name] = () => 0;
  return made;
}

class Engine {
  #exports;
  #room = { address: 0, bytes: 0 };
  #anchors = 0;

  // Which of the two engines runs here: "relaxed", with relaxed dot products, or "simd", without.
  static get kind() {
    const kind = Object.keys(PROBES).find((name) => WebAssembly.validate(Uint8Array.from(PROBES[name])));
    if (kind) return kind;
    throw new Error("This browser is too old: it has no WebAssembly with SIMD (Chrome 91, Firefox 89, Safari 16.4).");
  }

  // `binary` is the engine of that kind, in bytes or as a Response that is still on its way, and `model` the bytes of the
  // Model, or a promise of them.
  static async load(binary, model) {
    const compiled = binary instanceof Uint8Array ? WebAssembly.compile(binary) : WebAssembly.compileStreaming(binary);
    const [module, bytes] = await Promise.all([compiled, model]);
    const { exports } = await WebAssembly.instantiate(module, imports(module));
    return new Engine(exports, bytes);
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

  // Left, top, right and bottom of the part of the last such image that the input shows, in its pixels.
  get used() {
    return [...new Float64Array(this.#exports.memory.buffer, this.#call("used"), 4)];
  }

  // Runs the network on the input; gives each output as a Float32Array, (channels, height, width).
  run() {
    this.#call("run");
    return this.shapes.map((shape, i) =>
      new Float32Array(this.#exports.memory.buffer, this.#call("output", i), shape[0] * shape[1] * shape[2]).slice());
  }

  #write(values) {
    const place = this.#call("allocate", Math.max(4, values.byteLength));
    new Uint8Array(this.#exports.memory.buffer, place, values.byteLength)
      .set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return place;
  }

  // The boxes that are kept of the last run of a detector by anchors: Float32Array, four numbers an anchor, the same at
  // every call.
  detect(anchors, { coder, largestLogarithm, background, classes }, rule) {
    this.#anchors ||= this.#write(anchors);
    const four = this.#write(Float32Array.from(coder));
    const count = this.#call(
      "detect", this.#anchors, four, largestLogarithm, background, classes, rule.iouThreshold, rule.scoreThreshold,
      rule.most, rule.mostCandidates, rule.classAgnostic);
    this.#call("release", four);
    return this.#kept(count);
  }

  // The same of any boxes, Float32Array of four numbers each, and their scores, one for each class.
  suppress(boxes, scores, rule) {
    const places = [this.#write(boxes), this.#write(scores)], candidates = boxes.length / 4;
    const count = this.#call(
      "suppress", ...places, candidates, scores.length / candidates, rule.iouThreshold, rule.scoreThreshold, rule.most,
      rule.mostCandidates, rule.classAgnostic);
    for (const place of places) this.#call("release", place);
    return this.#kept(count);
  }

  #kept(count) {
    const { buffer } = this.#exports.memory, first = this.#call("kept");
    return Array.from({ length: count }, (_, i) => {
      const [left, top, right, bottom, score] = new Float32Array(buffer, first + 28 * i, 5);
      return { box: [left, top, right, bottom], score, index: new Int32Array(buffer, first + 28 * i + 20, 2)[1] };
    });
  }
}
