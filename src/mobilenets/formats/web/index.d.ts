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

interface Timed {
  /** From the pixels to the answer; decoding is not in it. */
  milliseconds: number;
}

/** Of a classifier. */
export interface ClassPrediction extends Timed {
  /** The likeliest first. */
  labels: LabelledProbability[];
  /** Whether the image is taken for one of no known class, where that was asked. */
  unknown?: boolean;
}

/** Of a Model that gives an image several labels, or none. */
export interface LabelsPrediction extends Timed {
  /** The labels whose probability reaches their threshold, likeliest first. */
  labels: LabelledProbability[];
  /** Of every label. */
  probabilities: Record<string, number>;
}

/** Of a detector, in the form of COCO's results. */
export interface DetectionPrediction extends Timed {
  /** The likeliest first. */
  detections: DetectedBox[];
  /** Of the image, in pixels. */
  width: number;
  height: number;
}

export interface DetectedBox {
  /** The number of the class, from 1. */
  category_id: number;
  label: string;
  /** Left, top, width and height, in pixels of the image. */
  bbox: [number, number, number, number];
  score: number;
}

/** Of a Model whose output describes the image. */
export interface FeaturePrediction extends Timed {
  features: Float32Array;
}

export interface PredictOptions {
  /** Classifiers: number of labels, 5 by default. Detectors: largest number of boxes, 100 by default. */
  top?: number;
  /** Classifiers: answer unknown where an image is of no known class, by the Model's own threshold. */
  unknown?: boolean;
  /** Classifiers: answer unknown, too, below this probability. Detectors: least score, instead of the Model's own. */
  threshold?: number;
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
  /** What the Model says about an image. */
  predict(image: Image, options?: PredictOptions): Promise<@prediction@>;
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
