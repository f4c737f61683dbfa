const MOST_RESULTS = 60, TOP = 5, SHOWN_PIXELS = 640;
const byId = (id) => document.getElementById(id);
let model = null, stream = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Bytes that stand in the page in base64, compressed by gzip.
async function unpacked(id) {
  const text = byId(id).textContent.trim();
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function percent(share) {
  return (100 * share).toFixed(1) + "\u00a0%";
}

function labelsOf(prediction) {
  const list = element("ol", undefined, "labels");
  for (const { label, probability } of prediction.labels) {
    const entry = element("li"), bar = element("div", undefined, "bar");
    bar.style.width = 100 * probability + "%";
    entry.append(bar, element("span", label), element("span", percent(probability)));
    list.append(entry);
  }
  return list;
}

// What is shown of a prediction, whatever the task.
const SHOW = { classification: labelsOf };
const SUMMARY = { classification: ({ labels: [best] }) => `${best.label}, ${percent(best.probability)}` };

function shown(prediction) {
  return [SHOW[model.task.kind](prediction), element("p", `${prediction.milliseconds.toFixed(1)} ms`, "soft time")];
}

// A small copy of an image, for its card.
function copyOf(source) {
  const width = source.videoWidth || source.width, height = source.videoHeight || source.height;
  const scale = Math.min(1, SHOWN_PIXELS / Math.max(width, height)), canvas = element("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("role", "presentation");
  return canvas;
}

function addCard(name) {
  const card = element("li", undefined, "card"), body = element("div"), title = element("p", name, "name");
  title.title = name;
  body.append(title);
  card.append(body);
  byId("results").prepend(card);
  while (byId("results").children.length > MOST_RESULTS) byId("results").lastChild.remove();
  byId("clear").hidden = false;
  return { card, body };
}

async function add(source, name) {
  const { card, body } = addCard(name);
  try {
    let image = source;
    if (source instanceof Blob) {
      image = await createImageBitmap(source, { colorSpaceConversion: "none" })
        .catch(() => { throw new Error("The browser cannot read this as an image."); });
    }
    card.prepend(copyOf(image));
    const prediction = await model.predict(image, { top: TOP });
    body.append(...shown(prediction));
    byId("status").textContent = `${name}: ${SUMMARY[model.task.kind](prediction)}`;
    image.close?.();
  } catch (error) {
    body.append(element("p", error.message, "bad"));
    byId("status").textContent = `${name}: ${error.message}`;
  }
}

async function addAll(files) {
  byId("problem").textContent = files.length ? "" : "That holds no image.";
  for (const file of files) await add(file, file.name || "Pasted image");
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    byId("problem").textContent = error.name === "NotAllowedError"
      ? "The browser was not allowed to use the camera." : "No camera was found.";
    return;
  }
  byId("problem").textContent = "";
  byId("video").srcObject = stream;
  await byId("video").play();
  byId("camera").hidden = false;
  byId("start").hidden = true;
  byId("stop").focus();
  watch(stream);
}

async function watch(own) {
  while (stream === own) {
    try {
      const prediction = await model.predict(byId("video"), { top: TOP });
      if (stream === own) byId("live").replaceChildren(...shown(prediction));
    } catch (error) {
      byId("live").replaceChildren(element("p", error.message, "bad"));
      return;
    }
    await new Promise((done) => requestAnimationFrame(done));
  }
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  byId("video").srcObject = null;
  byId("live").replaceChildren();
  byId("camera").hidden = true;
  byId("start").hidden = false;
  byId("start").focus();
}

async function begin() {
  try {
    const parts = ["engine-relaxed", "engine-simd", "model", "description"];
    const [relaxed, simd, bytes, description] = await Promise.all(parts.map(unpacked));
    model = new Model(await Engine.load({ relaxed, simd }, bytes), JSON.parse(new TextDecoder().decode(description)));
  } catch (error) {
    byId("problem").textContent = error.message;
    return;
  }
  const dots = model.instructionSet === "wasm_relaxed_simd" ? "with" : "without";
  byId("engine").textContent = `One thread, ${dots} relaxed dot products.`;
  byId("file").disabled = false;
  const camera = Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  byId("start").disabled = !camera;
  if (!camera) byId("ways").textContent += " (the browser lends this page no camera)";
  document.body.dataset.ready = "";
}

byId("file").addEventListener("change", async () => {
  const files = [...byId("file").files];
  byId("file").value = "";
  await addAll(files);
});
byId("start").addEventListener("click", startCamera);
byId("stop").addEventListener("click", stopCamera);
byId("keep").addEventListener("click", () => add(copyOf(byId("video")), "Camera " + new Date().toLocaleTimeString()));
byId("clear").addEventListener("click", () => {
  byId("results").replaceChildren();
  byId("clear").hidden = true;
  byId("file").focus();
});
const ready = begin();
document.addEventListener("paste", async (event) => {
  const files = [...event.clipboardData.files];
  await ready;
  if (model) await addAll(files);
});
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, async (event) => {
  event.preventDefault();
  byId("drop").classList.toggle("over", name === "dragover");
  if (name !== "drop") return;
  const files = [...event.dataTransfer.files];
  await ready;
  if (model) await addAll(files);
});
