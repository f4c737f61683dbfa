// node run.mjs FOLDER: runs engine and Model of a folder on pixels.bin and writes outputs.bin, one image after the other.
import { readFile, writeFile } from "node:fs/promises";

const folder = process.argv[2];
const read = (name) => readFile(`${folder}/${name}`);
const { Engine } = await import(`file://${folder}/engine.mjs`);
const [binary, pixels] = await Promise.all([`engine_${Engine.kind}.wasm`, "pixels.bin"].map(read));
const engine = await Engine.load(binary, read("model.bin"));
const size = engine.height * engine.width * engine.channels, made = [];
for (let at = 0; at < pixels.length; at += size) {
  engine.input.set(pixels.subarray(at, at + size));
  for (const values of engine.run()) made.push(Buffer.from(values.buffer));
}
await writeFile(`${folder}/outputs.bin`, Buffer.concat(made));
process.stdout.write(engine.instructionSet);
