// A page that holds engine and Model: what viewer.js shows is computed here.

const whole = new Promise((done) => document.addEventListener("DOMContentLoaded", done));

// What stands in the page in base64, in several elements, compressed by gzip.
function unpacked(name, type) {
  const parts = Array.from(document.getElementsByClassName(name), ({ textContent }) => Uint8Array.fromBase64
    ? Uint8Array.fromBase64(textContent) : Uint8Array.from(atob(textContent), (character) => character.charCodeAt(0)));
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream, { headers: { "Content-Type": type } });
}

// The Model stands behind this script: while the browser reads it, the engine is compiled.
async function unpackedModel() {
  await whole;
  return new Uint8Array(await unpacked("model", "application/octet-stream").arrayBuffer());
}

async function load() {
  const engine = Engine.load(unpacked(`engine-${Engine.kind}`, "application/wasm"), unpackedModel());
  return new Model(...await Promise.all([engine, unpacked("description", "application/json").json()]));
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
