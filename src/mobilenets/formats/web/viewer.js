// A page that takes images, chosen, dropped, pasted or from the camera, and shows what a Model says of them. Whoever runs
// the Model supplies `answer`. Predictions are in the form of Python's to_json().

const MOST_RESULTS = 60, SHOWN_PIXELS = 960, MOST_SHOWN = 8;
const COLORS = ["#c2185b", "#2e7d32", "#1565c0", "#bf5600", "#6a1b9a", "#00797a", "#8d4b00"];
const HEIC = /^ftyp(hei[cxms]|hev[cxms]|mif1|msf1)/;
const byId = (id) => document.getElementById(id);
const colorOf = ({ category_id }) => COLORS[category_id % COLORS.length];

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function percent(share) {
  return (100 * share).toFixed(1) + "\u00a0%";
}

// One line of a list: a label on a bar as long as its share.
function lineOf(label, share, className, threshold) {
  const entry = element("li", undefined, className), bar = element("div", undefined, "bar"), name = element("span", label);
  bar.style.width = 100 * share + "%";
  entry.append(bar);
  if (threshold !== undefined) {
    const least = element("div", undefined, "least");
    least.style.width = 100 * threshold + "%";
    least.title = `from ${percent(threshold)} on`;
    entry.append(least);
  }
  if (className === "less") name.append(element("span", ", not given", "hidden"));
  entry.append(name, element("span", percent(share)));
  return entry;
}

function listOf(lines, more = 0) {
  const list = element("ol", undefined, "labels");
  list.append(...lines);
  if (more > 0) list.append(element("li", `and ${more} more`, "soft"));
  return list;
}

function showClasses({ labels, unknown }) {
  const list = listOf(labels.map(({ label, probability }, i) => lineOf(label, probability, i || unknown ? "" : "first")));
  return unknown ? [element("p", "unknown", "first"), list] : [list];
}

// The labels of an image, then the likeliest of the others. `thresholds` are by label, where they are known.
function showLabels({ labels, probabilities }, thresholds = {}) {
  const given = new Set(labels.map(({ label }) => label));
  const others = Object.entries(probabilities).filter(([label]) => !given.has(label)).sort(([, a], [, b]) => b - a);
  const room = Math.max(0, MOST_SHOWN - labels.length);
  const list = listOf([
    ...labels.map(({ label, probability }) => lineOf(label, probability, "first", thresholds[label])),
    ...others.slice(0, room).map(([label, probability]) => lineOf(label, probability, "less", thresholds[label])),
  ], others.length - room);
  return labels.length ? [list] : [element("p", "None of the labels."), list];
}

function showBoxes({ detections }) {
  if (!detections.length) return [element("p", "Nothing found.", "labels")];
  return [listOf(detections.slice(0, MOST_SHOWN).map((found) => {
    const line = lineOf(found.label, found.score, ""), color = element("span", undefined, "color");
    color.style.background = colorOf(found);
    line.children[1].prepend(color);
    return line;
  }), detections.length - MOST_SHOWN)];
}

function showNumbers({ features }) {
  const numbers = Array.from(features).flat(2), first = numbers.slice(0, MOST_SHOWN).map((value) => value.toPrecision(3));
  return [element("p", `${numbers.length} numbers: ${first.join(", ")}${numbers.length > MOST_SHOWN ? " …" : ""}`, "labels")];
}

// What is shown of a prediction, whatever the task.
function shown(prediction, thresholds) {
  if (prediction.detections) return showBoxes(prediction);
  if (prediction.probabilities) return showLabels(prediction, thresholds);
  if (prediction.labels) return showClasses(prediction);
  if (prediction.features) return showNumbers(prediction);
  const { image, ...said } = prediction;
  return [element("pre", JSON.stringify(said, null, 1), "labels")];
}

// The same in one line.
function summaryOf({ detections, probabilities, labels, features, unknown }) {
  if (detections) {
    const names = detections.slice(0, MOST_SHOWN).map(({ label }) => label).join(", ");
    return names ? `${detections.length} found: ${names}` : "nothing found";
  }
  if (probabilities) return labels.map(({ label }) => label).join(", ") || "none of the labels";
  if (unknown) return "unknown";
  if (labels) return `${labels[0].label}, ${percent(labels[0].probability)}`;
  return features ? `${features.length} numbers` : "done";
}

// Draws the boxes of a prediction on a canvas that shows the whole image, the likeliest on top.
function drawBoxes(canvas, { detections, width: imageWidth, height: imageHeight }) {
  const pen = canvas.getContext("2d"), across = canvas.width / imageWidth, down = canvas.height / imageHeight;
  const letters = Math.max(12, Math.round(canvas.width / 32));
  pen.lineWidth = Math.max(2, canvas.width / 200);
  pen.font = `${letters}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  const placed = [...detections].reverse().map((found) => {
    const [left, top, width, height] = found.bbox.map((side, i) => side * (i % 2 ? down : across));
    return { left, top, width, height, color: colorOf(found), text: `${found.label} ${percent(found.score)}` };
  });
  for (const { left, top, width, height, color } of placed) {
    pen.strokeStyle = color;
    pen.strokeRect(left, top, width, height);
  }
  for (const { left, top, color, text } of placed) {
    const room = Math.min(canvas.width, pen.measureText(text).width + 8);
    const x = Math.max(0, Math.min(left, canvas.width - room)), y = Math.max(0, top - letters - 6);
    pen.fillStyle = color;
    pen.fillRect(x, y, room, letters + 6);
    pen.fillStyle = "#fff";
    pen.fillText(text, x + 4, y + 3, room - 8);
  }
}

// A copy of an image, of at most so many pixels a side.
function copyOf(source, most = SHOWN_PIXELS) {
  const width = source.videoWidth || source.width, height = source.videoHeight || source.height;
  const scale = Math.min(1, most / Math.max(width, height)), canvas = element("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// Why a file cannot be shown.
async function problemOf(blob) {
  const begin = await blob.slice(4, 12).text().catch(() => "");
  return HEIC.test(begin)
    ? "This browser cannot read HEIC images; Safari can. A phone sends JPEG where its camera is set to the most compatible format."
    : "The browser cannot read this as an image.";
}

// `answer({ blob, image, live })` gives { prediction, time, note, thresholds } of a file, where there is one, and of the
// image that the browser made of it, where it could. At most `atOnce` are asked at a time. Gives what else the page needs.
function startViewer({ answer, atOnce }) {
  const waiting = [];
  let busy = 0, stream = null, ready = false;

  async function work({ blob, image: given, card, body, name }) {
    let image = given;
    try {
      if (blob) image = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => null);
      const picture = image && copyOf(image);
      picture?.setAttribute("role", "presentation");
      if (picture) card.prepend(picture);
      const { prediction, time, note, thresholds } = await answer({ blob, image });
      if (picture && prediction.detections) {
        drawBoxes(picture, prediction);
        picture.setAttribute("role", "img");
        picture.setAttribute("aria-label", summaryOf(prediction));
      }
      body.lastChild.replaceWith(...shown(prediction, thresholds), element("p", time, "soft time"));
      if (note) body.append(element("p", note, "soft"));
      byId("status").textContent = `${name}: ${summaryOf(prediction)}`;
    } catch (error) {
      body.lastChild.replaceWith(element("p", error.message, "bad"));
      byId("status").textContent = `${name}: ${error.message}`;
    } finally {
      if (blob) image?.close();
    }
  }

  async function next() {
    if (busy >= atOnce || !waiting.length) return;
    busy++;
    await work(waiting.shift());
    busy--;
    next();
  }

  function add(given, name) {
    const card = element("li", undefined, "card"), body = element("div"), title = element("p", name, "name");
    title.title = name;
    body.append(title, element("p", "Waiting…", "soft"));
    card.append(body);
    byId("results").prepend(card);
    while (byId("results").children.length > MOST_RESULTS) byId("results").lastChild.remove();
    byId("clear").hidden = false;
    waiting.push({ ...given, card, body, name });
    next();
  }

  function addAll(files) {
    if (!ready) return;
    byId("problem").textContent = files.length ? "" : "That holds no image.";
    for (const file of files) add({ blob: file }, file.name || "Pasted image");
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
    const video = byId("video"), marks = byId("marks");
    while (stream === own) {
      try {
        const { prediction, time, thresholds } = await answer({ image: video, live: true });
        if (stream !== own) return;
        byId("live").replaceChildren(...shown(prediction, thresholds), element("p", time, "soft time"));
        marks.width = video.videoWidth;
        marks.height = video.videoHeight;
        if (prediction.detections) drawBoxes(marks, prediction);
      } catch (error) {
        byId("live").replaceChildren(element("p", error.message, "bad"));
        await new Promise((done) => setTimeout(done, 1000));
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

  byId("file").addEventListener("change", () => {
    const files = [...byId("file").files];
    byId("file").value = "";
    addAll(files);
  });
  byId("start").addEventListener("click", startCamera);
  byId("stop").addEventListener("click", stopCamera);
  byId("keep").addEventListener("click", () =>
    add({ image: copyOf(byId("video"), Infinity) }, "Camera " + new Date().toLocaleTimeString()));
  byId("clear").addEventListener("click", () => {
    waiting.length = 0;
    byId("results").replaceChildren();
    byId("clear").hidden = true;
    byId("file").focus();
  });
  document.addEventListener("paste", (event) => {
    if (event.target.tagName !== "INPUT" || event.clipboardData.files.length) addAll([...event.clipboardData.files]);
  });
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") addAll([...event.dataTransfer.files]);
  });
  return {
    // Takes images from now on. `noCamera` says why the browser may lend the page no camera.
    begin(noCamera) {
      const camera = Boolean(navigator.mediaDevices?.getUserMedia);
      ready = true;
      byId("work").hidden = false;
      byId("start").hidden = !camera || Boolean(stream);
      byId("no-camera").textContent = noCamera;
      byId("no-camera").hidden = camera;
    },
  };
}
