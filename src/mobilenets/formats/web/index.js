// @about@
// Written by mobilenets export --to web --module.

@engine@
@model_script@

const DESCRIPTION = @description@;

async function read(name, base) {
  // Each address stands here in full, so that bundlers find the files.
  const addresses = {
    "engine_relaxed.wasm": new URL("./engine_relaxed.wasm", import.meta.url),
    "engine_simd.wasm": new URL("./engine_simd.wasm", import.meta.url),
    "model.bin": new URL("./model.bin", import.meta.url),
  };
  const address = base === undefined ? addresses[name] : new URL(name, base);
  if (address.protocol === "file:" && typeof process !== "undefined") {
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
    return new Uint8Array(await readFile(address));
  }
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} answers with status ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

// Loads engine and Model; `base` is the address of the folder of their files, where that is not this file's.
export async function load({ base } = {}) {
  const names = [`engine_${Engine.kind}.wasm`, "model.bin"];
  const [binary, model] = await Promise.all(names.map((name) => read(name, base)));
  return new Model(await Engine.load(binary, model), DESCRIPTION);
}

export { Model };
