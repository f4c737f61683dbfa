"""Files that are given for models and are none that can be read: what they are, and the way out."""

from __future__ import annotations

from pathlib import Path

_TORCH = "save its weights in PyTorch (torch.save(model.state_dict(), 'weights.pt')), or export the network to ONNX"
_CONVERT = "convert it to ONNX or LiteRT (.tflite) first"

_IMAGE = "an image, where a model was expected: the model comes first, and the images behind it"

_CONTENTS = (
    (b"\xff\xd8\xff", _IMAGE),
    (b"\x89PNG", _IMAGE),
    (b"GIF8", _IMAGE),
    (b"RIFF", _IMAGE),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself; fetch that: git lfs pull"),
    (b"<!doctype html", "a web page: a download that failed, perhaps"),
    (b"<html", "a web page: a download that failed, perhaps"),
    (b"<?xml", f"XML; OpenVINO's networks are not read, so {_CONVERT}"),
    (b"GGUF", "a language model (GGUF)"),
    (b"\x1f\x8b", "an archive (gzip); unpack it first"),
    (b"BZh", "an archive (bzip2); unpack it first"),
    (b"\xfd7zXZ", "an archive (xz); unpack it first"),
    (b"7767517", f"a network of ncnn; {_CONVERT}"),
    (b"\x93NUMPY", f"a NumPy array, which names no layers; {_TORCH}"),
)
"""How files begin, in lower case where that is text."""
_MEMBERS = (
    ("/archived_model.json", f"a program of torch.export; {_TORCH}"),
    ("/models/model.json", f"a program of torch.export; {_TORCH}"),
    ("/code/", f"a program of TorchScript; {_TORCH}"),
    ("/constants.pkl", f"a program of TorchScript; {_TORCH}"),
    (".npy", f"an archive of NumPy arrays, which says nothing of the network; {_TORCH}"),
    (".mlmodel", f"a package of Core ML; {_CONVERT}"),
)
"""What archives hold."""
_SUFFIXES = {
    ".caffemodel": f"a network of Caffe; {_CONVERT}",
    ".prototxt": f"a network of Caffe; {_CONVERT}",
    ".weights": f"weights of Darknet; {_CONVERT}",
    ".param": f"a network of ncnn; {_CONVERT}",
    ".mnn": f"a network of MNN; {_CONVERT}",
    ".engine": "a program of TensorRT for one GPU; import what it was made of",
    ".trt": "a program of TensorRT for one GPU; import what it was made of",
    ".plan": "a program of TensorRT for one GPU; import what it was made of",
    ".mlmodel": f"a network of Core ML; {_CONVERT}",
    ".mlpackage": f"a network of Core ML; {_CONVERT}",
    ".dlc": f"a network of Qualcomm's; {_CONVERT}",
    ".pdparams": f"weights of PaddlePaddle; {_CONVERT}",
    ".ckpt": "a checkpoint of a kind that is not known",
}


def other_file(path: Path, data: bytes) -> str | None:
    """What a file is that no reader knows, and the way out; None where that is not known either.

    >>> other_file(Path("weights.pth"), b"<html>404")
    'a web page: a download that failed, perhaps'
    >>> other_file(Path("weights.pth"), b"")
    'empty'
    """
    if not data:
        return "empty"
    start = data[:64].lstrip().lower()
    for magic, what in _CONTENTS:
        if start.startswith(magic.lower()):
            return what
    if data[:2] == b"PK":
        names = data[-(1 << 16) :] + data[: 1 << 12]
        return next((what for member, what in _MEMBERS if member.encode() in names), None)
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if data[:1] == b"\x80" and data[1:2] in b"\2\3\4\5":
        return f"a pickle of Python, whose code is not run; {_TORCH}"
    return None
