"""torchvision's SSDLite, trained plainly for as much processor time as ours took, on the same data with boxes.

    mobilenets fit DATA -o OUT --weights FILE --resolution 320 --epochs 30    note the user and system time
    python benchmarks/torchvision_detection.py DATA --backbone FILE --seconds THAT_TIME --ours OUT/model.safetensors

torchvision publishes weights of its detectors and of V3's classifier only over the network; with ``--backbone``, a file
of its V2 classifier, the detector is its own SSDLite head, anchors, loss and post-processing on that backbone, cut
where torchvision cuts V3. Without, it is ``ssdlite320_mobilenet_v3_large`` from scratch. Training is as its reference
scripts train SSDLite: SGD with momentum, rate 0.15 for 192 images in a step in proportion to the batch, weight decay
4e-5, cosine; random crops by intersection over union, and mirror images. Training and validation images train, and the
last weights are taken, so that it has all the images that ours has. The mean average precision is computed by one code
for both. Where torchvision is not installed, which no part of this project needs, it says so and ends.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilenets import evaluate, load_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Subset
from mobilenets.tasks.box_matching import FoundBoxes
from mobilenets.tasks.detection_metrics import DetectionMetrics

SIDE, C4 = 320, 14
"""Pixels of the input; the block of V2 whose expansion, at a sixteenth of the side, is the first map."""
BATCH = 16
RATE, RATE_BATCH, MOMENTUM, DECAY = 0.15, 192, 0.9, 4e-5
"""As torchvision's reference trains SSDLite: eight processes of 24 images."""
WARM_UP = 0.05
"""Share of the time in which the rate rises; the reference has a first epoch of it."""

Item = tuple[Tensor, dict[str, Tensor]]


def main() -> None:
    """Train, evaluate on the test images once, and print both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--backbone", help="torchvision's file of V2's weights")
    parser.add_argument("--seconds", type=float, default=800.0, help="of processor time, user and system")
    parser.add_argument("--ours", help="a Model to evaluate on the same test images")
    parser.add_argument("--rate", type=float, default=RATE * BATCH / RATE_BATCH)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        print("skipped: torchvision is not installed")
        return
    torch.manual_seed(options.seed)
    dataset = load_dataset(options.data)
    module = detector(len(dataset.labels), options.backbone)
    steps = train(module, decoded(dataset.train + dataset.validation), options.rate, options.seconds)
    metrics = test(module, dataset)
    images = len(dataset.train) + len(dataset.validation)
    print(f"torchvision: {metrics.in_words}; mAP 50 {100 * metrics.map50:.2f} %")
    print(f"  {steps} steps of {BATCH} images, {steps * BATCH / images:.1f} epochs, {options.seconds:.0f} s")
    if options.ours:
        ours = evaluate(options.ours, dataset)
        assert isinstance(ours, DetectionMetrics)
        print(f"ours: {ours.in_words}; mAP 50 {100 * ours.map50:.2f} %")


def detector(classes: int, backbone: str | None) -> nn.Module:
    """SSDLite of torchvision over some classes and the background."""
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large  # type: ignore[import-not-found]

    if backbone is None:
        module: nn.Module = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes + 1)
        return module
    return _on_v2(classes, Path(backbone))


def _on_v2(classes: int, weights: Path) -> nn.Module:
    from functools import partial

    from torchvision.models import mobilenet_v2  # type: ignore[import-not-found]
    from torchvision.models.detection import _utils
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator  # type: ignore[import-not-found]
    from torchvision.models.detection.ssd import SSD  # type: ignore[import-not-found]
    from torchvision.models.detection.ssdlite import (  # type: ignore[import-not-found]
        SSDLiteHead,
        _extra_block,
        _normal_init,
    )

    classifier = mobilenet_v2(weights=None)
    classifier.load_state_dict(torch.load(weights, weights_only=True))
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    extra = nn.ModuleList(
        [_extra_block(wide, narrow, norm) for wide, narrow in ((1280, 512), (512, 256), (256, 256), (256, 128))]
    )
    _normal_init(extra)
    blocks = classifier.features
    expansion, rest = blocks[C4].conv[0], blocks[C4].conv[1:]
    maps = _Maps(nn.Sequential(*blocks[:C4], expansion), nn.Sequential(rest, *blocks[C4 + 1 :]), extra)
    anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    channels = _utils.retrieve_out_channels(maps, (SIDE, SIDE))
    head = SSDLiteHead(channels, anchors.num_anchors_per_location(), classes + 1, norm)
    module: nn.Module = SSD(
        maps,
        anchors,
        (SIDE, SIDE),
        classes + 1,
        head=head,
        score_thresh=0.001,
        nms_thresh=0.55,
        detections_per_img=300,
        topk_candidates=300,
        image_mean=[0.485, 0.456, 0.406],  # those of the weights
        image_std=[0.229, 0.224, 0.225],
    )
    return module


class _Maps(nn.Module):
    """The two maps of a backbone, and those of the layers after it."""

    def __init__(self, first: nn.Module, second: nn.Module, extra: nn.ModuleList) -> None:
        super().__init__()
        self.parts = nn.ModuleList([first, second, *extra])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found = {}
        for number, part in enumerate(self.parts):
            images = part(images)
            found[str(number)] = images
        return found


def decoded(subset: Subset) -> list[Item]:
    """Images as bytes (3, height, width), and the boxes that count, in pixels, with classes from 1."""
    items = []
    for image, truth in zip(subset.images, subset.targets, strict=True):
        pixels = np.asarray(image.open())
        kept = ~truth.ignored
        target = {
            "boxes": torch.from_numpy(truth.boxes[kept]),
            "labels": torch.from_numpy(truth.labels[kept] + 1),
        }
        items.append((torch.from_numpy(pixels.copy()).permute(2, 0, 1), target))
    return items


def train(module: nn.Module, items: list[Item], rate: float, seconds: float) -> int:
    """Train for some seconds of processor time; returns the number of steps."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=DECAY)
    module.train()
    begun, steps = time.process_time(), 0
    for batch in _batches(items):
        passed = (time.process_time() - begun) / seconds
        if passed >= 1:
            break
        shape = passed / WARM_UP if passed < WARM_UP else (1 + math.cos(math.pi * passed)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * max(shape, 1e-3)
        losses: dict[str, Tensor] = module([image for image, _ in batch], [target for _, target in batch])
        loss = torch.stack(list(losses.values())).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise SystemExit(f"the loss is {value} at step {steps}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            print(f"  step {steps}, {100 * passed:.0f} % of the time, loss {value:.2f}", flush=True)
    return steps


def _batches(items: list[Item]) -> Iterator[list[Item]]:
    """Shuffled images without end, distorted as the reference distorts those of SSDLite."""
    from torchvision import tv_tensors  # type: ignore[import-not-found]
    from torchvision.transforms import v2  # type: ignore[import-not-found]

    transform = v2.Compose(
        [
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.SanitizeBoundingBoxes(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    while True:
        order = torch.randperm(len(items))
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            batch = []
            for index in order[begin : begin + BATCH].tolist():
                image, target = items[index]
                boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=image.shape[1:])
                shown: Any = transform(tv_tensors.Image(image), {"boxes": boxes, "labels": target["labels"]})
                batch.append((torch.as_tensor(shown[0]), {name: torch.as_tensor(v) for name, v in shown[1].items()}))
            yield batch


def test(module: nn.Module, dataset: Dataset) -> DetectionMetrics:
    """Mean average precision on the test images."""
    module.eval()
    found = []
    for image, _ in decoded(dataset.test):
        with torch.inference_mode():
            (one,) = module([image.float() / 255])
        values = {name: value.numpy() for name, value in one.items()}
        found.append(FoundBoxes(values["boxes"], values["scores"], values["labels"].astype(np.int64) - 1))
    return DetectionMetrics.of(found, list(dataset.test.targets), dataset.labels, score_threshold=0.3)


if __name__ == "__main__":
    main()
