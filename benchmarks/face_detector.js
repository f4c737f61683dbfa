// Detections of face-api on images that are inputs of its network already.
// node face_detector.js MODELS SIDE IMAGE…: raw RGB bytes; prints a list of [left, top, right, bottom, score] for each.
const fs = require("fs");
const tf = require("@tensorflow/tfjs");
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");

async function main() {
  const [models, side, ...images] = process.argv.slice(2);
  await tf.setBackend("wasm");
  await tf.ready();
  await faceapi.nets.ssdMobilenetv1.loadFromDisk(models);
  const options = new faceapi.SsdMobilenetv1Options({ minConfidence: 0.5, maxResults: 100 });
  const found = [];
  for (const image of images) {
    const pixels = tf.tensor(new Uint8Array(fs.readFileSync(image)), [Number(side), Number(side), 3], "int32");
    const faces = await faceapi.detectAllFaces(pixels, options);
    found.push(faces.map(({ box, score }) => [box.x, box.y, box.x + box.width, box.y + box.height, score]));
    pixels.dispose();
  }
  console.log(JSON.stringify({ version: faceapi.version.faceapi || faceapi.version, found }));
}

main();
