/** What a canvas draws, a file of an image, or pixels of four bytes each: red, green, blue and one that is not read. */
export type Image =
  | CanvasImageSource
  | Blob
  | ImageData
  | { data: Uint8Array | Uint8ClampedArray; width: number; height: number };

export interface LabelledProbability {
  label: string;
  probability: number;
}

export interface Prediction {
  /** The likeliest first. */
  labels: LabelledProbability[];
  /** From the pixels to the answer; decoding is not in it. */
  milliseconds: number;
}

export interface Task {
  kind: string;
  labels?: string[];
  [name: string]: unknown;
}

export declare class Model {
  private constructor();
  readonly task: Task;
  readonly labels: string[] | undefined;
  readonly network: string;
  readonly precision: "int8" | "float32";
  readonly outputNames: string[];
  readonly inputSize: { height: number; width: number; channels: number };
  /** "wasm_relaxed_simd" or "wasm_simd": which of the two engines the browser runs. */
  readonly instructionSet: string;
  /** What the Model says about an image. Rejects where the task is no classification. */
  predict(image: Image, options?: { top?: number }): Promise<Prediction>;
  /** The network's outputs for an image by name, each (channels, height, width). */
  outputs(image: Image): Promise<Record<string, Float32Array>>;
  /** The same for pixels of the network's own size, (height, width, channels). */
  outputsOf(pixels: Uint8Array): Record<string, Float32Array>;
  /** The input that the network gets for an image, (height, width, channels). */
  prepared(image: Image): Promise<Uint8Array>;
}

/**
 * Loads the engine and the Model. `base` is the address of the folder that holds engine_relaxed.wasm, engine_simd.wasm and
 * model.bin, where that is not the one of index.js.
 */
export declare function load(options?: { base?: string | URL }): Promise<Model>;
