// Runs in the page of benchmarks/web.py: contestants of one network, checked and then timed in turns.
const read = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());

const CONTESTANTS = {
  async mobilenets(folder) {
    const { load } = await import(`/${folder}/module/index.js`);
    const model = await load();
    return { name: `mobilenets, ${model.instructionSet}`, run: async (pixels) => Object.values(model.outputsOf(pixels))[0] };
  },
  async onnxruntime(folder, { height, width }) {
    const ort = await import("/npm/onnxruntime-web/dist/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
    const session = await ort.InferenceSession.create(await read(`/${folder}/model.onnx`), { executionProviders: ["wasm"] });
    const [input] = session.inputNames, [output] = session.outputNames;
    return { name: "onnxruntime-web", run: async (pixels) => {
      const found = await session.run({ [input]: new ort.Tensor("uint8", pixels, [1, height, width, 3]) });
      return found[output].data;
    } };
  },
  async litert(folder, { height, width, integer, mean, std }) {
    const { loadLiteRt, loadAndCompile, Tensor } = await import("/npm/@litertjs/core/dist/index.js");
    await (CONTESTANTS.litertLoaded ??= loadLiteRt("/npm/@litertjs/core/wasm/", { threads: false }));
    const model = await loadAndCompile(`/${folder}/model.tflite`, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
    return { name: "@litertjs/core", run: async (pixels) => {
      const values = integer ? pixels : Float32Array.from(pixels, (byte, i) => (byte / 255 - mean[i % 3]) / std[i % 3]);
      const tensor = new Tensor(values, [1, height, width, 3]);
      const [output] = await model.run([tensor]);
      const made = (await output.data()).slice();
      tensor.delete();
      output.delete();
      return made;
    } };
  },
  async tfjs(folder, { height, width, layers, mean, std }) {
    await tf.ready();
    const numbers = new Float32Array((await read(`/${folder}/weights.bin`)).buffer);
    let at = 0;
    const take = (shape) => {
      const size = shape.reduce((a, b) => a * b, 1);
      at += size;
      return tf.tensor(numbers.slice(at - size, at), shape);
    };
    const made = layers.map((layer) => ({ ...layer, weight: take(layer.shape), bias: take([layer.out]) }));
    const offset = tf.tensor(mean.map((value) => value * 255)), scale = tf.tensor(std.map((value) => 1 / (255 * value)));
    return { name: "tfjs-backend-wasm, float32", run: async (pixels) => {
      const result = tf.tidy(() => {
        const values = tf.tensor(Float32Array.from(pixels), [1, height, width, 3]);
        let x = tf.mul(tf.sub(values, offset), scale);
        for (const { kind, stride, pad, weight, bias, activation } of made) {
          if (kind === "linear") { x = tf.fused.matMul({ a: tf.mean(x, [1, 2]), b: weight, bias }); continue; }
          const call = kind === "depthwise" ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
          x = call({ x, filter: weight, strides: stride, pad, bias, activation });
        }
        return x;
      });
      const values = await result.data();
      result.dispose();
      return values;
    } };
  },
};

// Gives {name: {minimum, median}} in milliseconds and the largest differences from the first contestant's answers.
async function race(folder, about, names, seconds) {
  const pixels = await read(`/${folder}/pixels.bin`), contestants = [];
  for (const name of names) {
    try {
      contestants.push(await CONTESTANTS[name](folder, about));
    } catch (error) {
      contestants.push({ name: `${name}: ${error.message}` });
    }
  }
  const answers = [];
  for (const contestant of contestants) {
    try {
      answers.push(contestant.run && Array.from(await contestant.run(pixels)));
    } catch (error) {
      answers.push(undefined);
      Object.assign(contestant, { name: `${contestant.name}: ${error.message}`, run: undefined });
    }
  }
  // The clock of a page ticks every tenth of a millisecond: short runs are timed several at once.
  const times = contestants.map(() => []), together = [];
  for (const [i, { run }] of contestants.entries()) {
    if (!run) continue;
    for (let warm = 0; warm < 20; warm++) await run(pixels);
    const begin = performance.now();
    await run(pixels);
    together[i] = Math.min(20, Math.ceil(4 / Math.max(0.1, performance.now() - begin)));
  }
  const end = performance.now() + 1000 * seconds;
  for (let round = 0; performance.now() < end || round < 5; round++) {
    for (const [i, { run }] of contestants.entries()) {
      if (!run) continue;
      const begin = performance.now();
      for (let again = 0; again < together[i]; again++) await run(pixels);
      times[i].push((performance.now() - begin) / together[i]);
    }
  }
  return contestants.map(({ name }, i) => {
    const sorted = times[i].sort((a, b) => a - b);
    const differs = answers[i] && Math.max(...answers[i].map((value, c) => Math.abs(value - answers[0][c])));
    return { name, minimum: sorted[0] ?? null, median: sorted[sorted.length >> 1] ?? null, runs: sorted.length, differs, answers: answers[i] };
  });
}
