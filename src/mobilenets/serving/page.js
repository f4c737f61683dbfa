// The page of a server: what viewer.js shows is asked for over HTTP.

const AT_ONCE = 4, TOP = 5, TRIES = 6, LIVE_PIXELS = 640;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let models = [];

function key() {
  try { return sessionStorage.getItem("key"); } catch { return null; }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key()) headers.Authorization = "Bearer " + key();
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(path, { ...options, headers })
      .catch(() => { throw new Error("The server cannot be reached."); });
    if (response.status !== 503 || attempt === TRIES) return response;
    await wait(1000 * (Number(response.headers.get("Retry-After")) || 1));
  }
}

async function refusalOf(response) {
  try { return (await response.json()).error.message; } catch { return "The server answered with status " + response.status; }
}

function chosen() {
  return models[byId("model").selectedIndex] || models[0];
}

// A frame of the camera as a file, small while it runs.
function encoded(image, live) {
  return new Promise((done) => copyOf(image, live ? LIVE_PIXELS : Infinity).toBlob(done, "image/jpeg", 0.9));
}

async function answer({ blob, image, live }) {
  const model = chosen(), body = blob ?? await encoded(image, live);
  const query = new URLSearchParams({ model: model.name, version: model.version });
  if (model.task === "classification") query.set("top", TOP);
  const begin = performance.now();
  const response = await ask("v1/predict?" + query, {
    method: "POST", body, headers: { "Content-Type": "application/octet-stream" },
  });
  if (!response.ok) throw new Error(await refusalOf(response));
  const { predictions: [prediction], latency_ms: server } = await response.json();
  const time = `${server.toFixed(1)} ms on the server, ${Math.round(performance.now() - begin)} ms in all`;
  return { prediction, time, note: prediction.note && "Assumed: " + prediction.note, thresholds: model.thresholds };
}

function about() {
  const model = chosen();
  byId("title").textContent = model.name;
  document.title = model.name;
  const kind = `${model.description[0].toUpperCase()}${model.description.slice(1)}`;
  byId("about").textContent = `${kind}, ${model.network}, ${model.precision}. `;
  if (model.report && !key()) {
    const link = element("a", "How good it is");
    link.href = model.report.slice(1);
    byId("about").append(link);
  }
}

const viewer = startViewer({ answer, atOnce: AT_ONCE });

async function begin() {
  let response;
  try { response = await ask("v1/models"); } catch (error) { byId("problem").textContent = error.message; return; }
  if (response.status === 401) {
    byId("title").textContent = "MobileNets";
    byId("login").hidden = false;
    byId("problem").textContent = key() ? "That is not one of this server's keys." : "";
    byId("key").focus();
    return;
  }
  if (!response.ok) { byId("problem").textContent = await refusalOf(response); return; }
  models = (await response.json()).models;
  byId("model").replaceChildren(...models.map((one) => {
    const others = models.filter((other) => other.name === one.name).length > 1;
    return element("option", others ? `${one.name}, version ${one.version}` : one.name);
  }));
  byId("choice").hidden = models.length < 2;
  byId("login").hidden = true;
  byId("problem").textContent = "";
  viewer.begin("The camera needs an address that begins with https, or localhost.");
  about();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value);
  byId("key").value = "";
  begin();
});
byId("model").addEventListener("change", about);
begin();
