// A page that holds engine and Model: what viewer.js shows is computed here.

// What stands in the page in base64, compressed by gzip.
function unpacked(id, type) {
  const text = byId(id).textContent;
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream, { headers: { "Content-Type": type } });
}

async function load() {
  const engine = unpacked(`engine-${Engine.kind}`, "application/wasm");
  const model = unpacked("model", "application/octet-stream").arrayBuffer().then((bytes) => new Uint8Array(bytes));
  const description = unpacked("description", "application/json").json();
  return new Model(...await Promise.all([Engine.load(engine, model), description]));
}

const loading = load();

async function answer({ blob, image }) {
  if (!image) throw new Error(await problemOf(blob));
  const model = await loading, { kind, labels, thresholds, unknown } = model.task;
  const { milliseconds, ...prediction } = await model.predict(image, kind === "classification" ? { unknown: Boolean(unknown) } : {});
  const least = kind === "multilabel" && Object.fromEntries(labels.map((label, i) => [label, thresholds?.[i] ?? 0.5]));
  return { prediction, time: `${milliseconds.toFixed(1)} ms`, thresholds: least || undefined };
}

startViewer({ answer, atOnce: 1 }).begin("The browser lends this page no camera: that takes an address that begins with https.");
loading.then((model) => {
  const dots = model.instructionSet === "wasm_relaxed_simd" ? "with" : "without";
  byId("engine").textContent = `One thread, ${dots} relaxed dot products.`;
  document.body.dataset.ready = "";
}, (error) => { byId("problem").textContent = error.message; });
