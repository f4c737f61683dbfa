"""Networks of timm and torchvision with random weights, and their logits: what ``fidelity.py --frameworks`` reads.

    pip install torch==2.14.1 torchvision==0.29.1 timm     # in an environment of its own, 5.5 GB
    python framework_networks.py FOLDER

Weights and batch-norm statistics are float32 numbers; logits are computed from them in float64.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

TIMM = {
    "mobilenetv1_100": 64,
    "mobilenetv1_100h": 64,
    "mobilenetv1_125": 64,
    "mobilenetv2_035": 64,
    "mobilenetv2_050": 64,
    "mobilenetv2_100": 96,
    "mobilenetv2_140": 64,
    "mobilenetv3_small_050": 64,
    "mobilenetv3_small_075": 64,
    "mobilenetv3_small_100": 96,
    "mobilenetv3_large_075": 64,
    "mobilenetv3_large_100": 96,
    "mobilenetv3_rw": 64,
    "tf_mobilenetv3_small_075": 64,
    "tf_mobilenetv3_small_100": 65,
    "tf_mobilenetv3_small_minimal_100": 64,
    "tf_mobilenetv3_large_075": 64,
    "tf_mobilenetv3_large_100": 64,
    "tf_mobilenetv3_large_minimal_100": 64,
    "mobilenetv4_conv_small_035": 64,
    "mobilenetv4_conv_small_050": 64,
    "mobilenetv4_conv_small": 96,
    "mobilenetv4_conv_medium": 64,
    "mobilenetv4_conv_large": 64,
}
"""Names, and sides of the images in pixels."""


def randomize(model: nn.Module) -> None:
    """Random weights and statistics under which values neither vanish nor explode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.normal_(0, (2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2)


def write(folder: Path, model: nn.Module, side: int, architecture: str | None = None) -> None:
    """One network, two images and their logits."""
    randomize(model)
    model = model.eval().double()
    for values in (*model.parameters(), *model.buffers()):
        if values.dtype.is_floating_point:
            values.data = values.data.float().double()
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    with torch.no_grad():
        logits = model(((pixels.double() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2))
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (values.float() if values.dtype.is_floating_point else values).contiguous()
        for name, values in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")
    if architecture:
        config = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, side, side]}
        (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": config}))
    np.savez(folder / "io.npz", pixels=pixels.numpy(), logits=logits.numpy())
    print(folder.name, flush=True)


def main() -> None:
    """Write all networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, side in TIMM.items():
        write(folder / f"timm-{name}", timm.create_model(name, pretrained=False), side, name)
    models = torchvision.models
    write(folder / "torchvision-mobilenet_v2", models.mobilenet_v2(), 96)
    write(folder / "torchvision-mobilenet_v2-0.6", models.mobilenet_v2(width_mult=0.6, num_classes=7), 64)
    write(folder / "torchvision-mobilenet_v3_small", models.mobilenet_v3_small(), 96)
    write(folder / "torchvision-mobilenet_v3_large", models.mobilenet_v3_large(), 96)


if __name__ == "__main__":
    main()
