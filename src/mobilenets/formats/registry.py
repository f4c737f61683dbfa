"""Every format that this package reads or writes, one row each.

``mobilenets import`` and ``mobilenets export``, their flags and help, and the tables in docs/import.md and
docs/export.md are made from :data:`FORMATS`. To add a format, write its file or folder and add its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mobilenets.base.suffixes import taken_for
from mobilenets.errors import FormatError
from mobilenets.formats.c.run import run_c
from mobilenets.formats.c.write import COptions, write_c
from mobilenets.formats.coreml import CoreMLOptions, write_coreml
from mobilenets.formats.format import Format, Reader, SecondRuntime, Writer
from mobilenets.formats.keras.file import is_keras
from mobilenets.formats.keras.read import from_keras
from mobilenets.formats.litert.micro import run_micro
from mobilenets.formats.litert.options import LiteRTOptions, litert_notes, output_bounds, with_ranges, write_litert
from mobilenets.formats.litert.read import from_tflite, is_tflite
from mobilenets.formats.litert.run import run_litert
from mobilenets.formats.model_file import from_model_file, is_model_file
from mobilenets.formats.onnx.read import from_onnx, is_onnx
from mobilenets.formats.onnx.run import EXACT_INTEGERS, run_onnx, run_onnx_at_defaults
from mobilenets.formats.onnx.write import OnnxOptions, write_onnx
from mobilenets.formats.openvino import OpenVINOOptions, run_openvino, write_openvino
from mobilenets.formats.pytorch import from_pytorch, is_pytorch
from mobilenets.formats.tf_slim import from_tf_slim, is_tf_slim
from mobilenets.formats.tfjs.read import from_tfjs, is_tfjs
from mobilenets.formats.timm import from_timm, is_timm
from mobilenets.formats.web.run import run_web
from mobilenets.formats.web.write import WebOptions, web_notes, write_web

_ROWS = (
    Format(
        "tf-slim",
        "TF-slim",
        (".index",),
        Reader(
            is_tf_slim,
            from_tf_slim,
            covers="checkpoints of `mobilenet_v1` (`.index` and `.data-…`); moving averages before raw weights",
            assumes="SAME padding, ε 1e-3, ReLU6, pixels to −1 … 1; the resolution from the name, else 224",
            open_resolution=True,
        ),
    ),
    Format(
        "mobilenets",
        "MobileNets",
        (".safetensors",),
        Reader(is_model_file, from_model_file, covers="Model files of this package, of every version"),
    ),
    Format(
        "keras",
        "Keras",
        (".h5", ".weights.h5", ".keras"),
        Reader(
            is_keras,
            from_keras,
            covers="whole models of Keras 1 to 3, fitted or not, of layers that this package has; weights alone of "
            "MobileNet V1 and V2, with or without a head, and of V3",
            assumes="pixels to −1 … 1 where no layer scales them; of weights alone: SAME padding, ε 1e-3, V1's "
            "and V2's ReLU6, and what `assumed` names; the resolution from the name, else 224",
            open_resolution=True,
        ),
    ),
    Format(
        "tfjs",
        "TensorFlow.js",
        (".json",),
        Reader(
            is_tfjs,
            from_tfjs,
            covers="layers models and graph models: `model.json` with its shards beside it, or the folder; float32, "
            "float16, weights quantized to one or two bytes; Teachable Machine's labels; the face detector of "
            "`@vladmandic/face-api`",
            assumes="as of Keras",
            open_resolution=True,
        ),
    ),
    Format(
        "timm",
        "timm",
        (".safetensors", ".bin"),
        Reader(
            is_timm,
            from_timm,
            covers="all MobileNets from V1 (`mobilenetv1_…`) to V4's convolutional ones (`mobilenetv4_conv_…`), of any "
            "width: a file, or a folder as on the hub with its `config.json`",
            assumes="padding on every side, ε 1e-5 (as TensorFlow does and 1e-3 in `tf_…`); without `config.json`: "
            "224, bicubic, ImageNet's mean and standard deviation, V1's pixels to −1 … 1",
            open_resolution=True,
        ),
    ),
    Format(
        "pytorch",
        "PyTorch",
        (".pth", ".pt", ".bin", ".tar", ".safetensors"),
        Reader(
            is_pytorch,
            from_pytorch,
            covers="torchvision's MobileNet V2 and V3, of any width; V1 as a state_dict named `model.N.M` (or "
            "`features.N.M`) and `fc`, `classifier` or `linear`",
            assumes="padding on every side, ε 1e-5 (1e-3 in torchvision's V3), V1's ReLU, ImageNet's mean and standard "
            "deviation, 224",
            open_resolution=True,
        ),
    ),
    Format(
        "litert",
        "LiteRT",
        (".tflite",),
        Reader(
            is_tflite,
            from_tflite,
            covers="what TensorFlow's converter writes of such networks, whatever its head and its options: float32, "
            "float16 and 8-bit weights (dynamic range), int8, int16 activations (as float32); uint8 with one scale per "
            "layer; SSDs that end in `TFLite_Detection_PostProcess`",
            assumes="a float file's input scaling, where neither the graph nor its metadata says it: pixels to −1 … 1",
        ),
        Writer(
            write_litert,
            run_litert,
            float32="batch norms folded; also `--half`",
            int8="integers only, int8 in and out, within one step; also `--float-output`, mostly within 1e-6",
            runtime="ai-edge-litert; also tflite-micro",
            options=LiteRTOptions,
            prepare=with_ranges,
            bounds=output_bounds,
            notes=litert_notes,
            also=SecondRuntime("TensorFlow Lite Micro", run_micro),
        ),
    ),
    Format(
        "onnx",
        "ONNX",
        (".onnx",),
        Reader(
            is_onnx,
            from_onnx,
            covers="what this package writes; MobileNets as torch exports them (by either exporter, batch norms folded "
            "or not, weights in a file beside it), as Paddle does (the classifier of `rapidocr-onnxruntime`), and as "
            "`quantize_static` quantizes them (QDQ)",
            assumes="input scaling, where the graph does not do it: −1 … 1 where there is ReLU6 (in PyTorch's files, "
            "of V1 only), ImageNet's elsewhere",
            open_resolution=True,
        ),
        Writer(
            write_onnx,
            run_onnx,
            float32="batch norms kept, opset 17; within 1e-5",
            int8="quantize-dequantize pairs, per channel; bit for bit",
            runtime="onnxruntime",
            options=OnnxOptions,
            run_at_defaults=run_onnx_at_defaults,
            advice="ONNX Runtime with {}={}".format(*EXACT_INTEGERS),
        ),
    ),
    Format(
        "c",
        "C99",
        (".c",),
        writer=Writer(
            write_c,
            run_c,
            float32="batch norms folded",
            int8="bit for bit",
            runtime="a C compiler",
            options=COptions,
            int8_tolerance=0.0,
        ),
    ),
    Format(
        "web",
        "web page",
        (".html",),
        writer=Writer(
            write_web,
            run_web,
            float32="batch norms folded; the bits of the engine's portable or AVX2 kernels",
            int8="bit for bit",
            runtime="Node.js",
            options=WebOptions,
            int8_tolerance=0.0,
            notes=web_notes,
        ),
    ),
    Format(
        "openvino",
        "OpenVINO",
        (".xml",),
        writer=Writer(
            write_openvino,
            run_openvino,
            float32="also `--half`; weights in a `.bin` beside it",
            int8="in units of each sum; the same top-1",
            runtime="openvino",
            options=OpenVINOOptions,
        ),
    ),
    Format(
        "coreml",
        "Core ML",
        (".mlpackage",),
        writer=Writer(
            write_coreml,
            None,
            float32="also `--half`",
            int8="no",
            runtime="nothing: written on any system, it runs on Apple's only",
            options=CoreMLOptions,
        ),
    ),
)

FORMATS: Mapping[str, Format] = MappingProxyType({row.name: row for row in _ROWS})
"""Every format by name, in the order in which import tries them on a source's content."""


def readable() -> dict[str, tuple[Format, Reader]]:
    """The formats that can be imported, each with its reader."""
    return {name: (row, row.reader) for name, row in FORMATS.items() if row.reader is not None}


def writable() -> dict[str, tuple[Format, Writer]]:
    """The formats that can be exported, each with its writer."""
    return {name: (row, row.writer) for name, row in FORMATS.items() if row.writer is not None}


FORMAT_NAMES: Mapping[str, str] = MappingProxyType(
    {suffix.removeprefix("."): name for name, (row, _) in writable().items() for suffix in row.suffixes}
    | {name: name for name in writable()}
)
"""What a format that is written may be called: its name, or a suffix of its files."""


def format_of(path: Path, name: str | None = None) -> str:
    """Name of the format to write.

    Args:
        path: Where to.
        name: A name of :data:`FORMATS`, or a suffix such as ``tflite``; by default the path's suffix tells.

    Raises:
        FormatError: If no format that is written has that name or suffix, or the suffix is that of another format.

    >>> format_of(Path("model.tflite")), format_of(Path("model"), "tflite")
    ('litert', 'litert')
    """
    known = writable()
    if name is not None:
        name = FORMAT_NAMES.get(name.lower(), name)
        if name not in known:
            raise FormatError(f"no format is called {name!r}; known are {', '.join(known)}")
        _check_suffix(path, known[name][0])
        return name
    for each, (row, _) in known.items():
        if path.suffix.lower() in row.suffixes:
            return each
    suffixes = ", ".join(f"{row.suffixes[0]} ({each})" for each, (row, _) in known.items())
    raise FormatError(f"{path} does not say its format; name one, or end it in {suffixes}")


def _check_suffix(path: Path, row: Format) -> None:
    """Raise if a path has the suffix of another kind of file than that of the format that is asked for."""
    other = taken_for(path, row.suffixes)
    if other is None:
        return
    by_suffix = [name for name, (each, _) in writable().items() if path.suffix.lower() in each.suffixes]
    instead = f", or for {other} say to={by_suffix[0]!r}" if by_suffix else ""
    raise FormatError(
        f"{path} has the name of {other}, and {row.title} is to be written: end it in {row.suffixes[0]}{instead}"
    )
