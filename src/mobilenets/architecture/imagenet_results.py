"""Published ImageNet results: released networks, later results on MobileNet V1, its successors, weights to fetch.

Data only, as printed, each with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ReleasedModel(NamedTuple):
    """ImageNet accuracy of one of the sixteen released MobileNet V1 networks, in percent."""

    width_multiplier: float
    resolution: int
    top1: float
    top5: float
    int8_top1: float
    int8_top5: float


RELEASED_SOURCE = "TensorFlow models repository, TF-slim, mobilenet_v1.md"

RELEASED_MODELS: tuple[ReleasedModel, ...] = (
    ReleasedModel(1.0, 224, 70.9, 89.9, 69.7, 89.5),
    ReleasedModel(1.0, 192, 70.0, 89.2, 69.0, 88.9),
    ReleasedModel(1.0, 160, 68.0, 87.7, 67.3, 87.7),
    ReleasedModel(1.0, 128, 65.2, 85.8, 64.0, 85.5),
    ReleasedModel(0.75, 224, 68.4, 88.2, 67.9, 88.1),
    ReleasedModel(0.75, 192, 67.2, 87.3, 66.2, 87.1),
    ReleasedModel(0.75, 160, 65.3, 86.0, 63.9, 85.5),
    ReleasedModel(0.75, 128, 62.1, 83.9, 59.8, 82.8),
    ReleasedModel(0.5, 224, 63.3, 84.9, 62.2, 84.5),
    ReleasedModel(0.5, 192, 61.7, 83.6, 60.4, 83.2),
    ReleasedModel(0.5, 160, 59.1, 81.9, 57.7, 81.3),
    ReleasedModel(0.5, 128, 56.3, 79.4, 54.9, 78.9),
    ReleasedModel(0.25, 224, 49.8, 74.2, 48.2, 73.8),
    ReleasedModel(0.25, 192, 47.7, 72.3, 45.8, 71.9),
    ReleasedModel(0.25, 160, 45.5, 70.3, 43.5, 69.1),
    ReleasedModel(0.25, 128, 41.5, 66.3, 39.9, 65.8),
)


class LaterResult(NamedTuple):
    """An ImageNet top-1 that somebody reached later with this architecture.

    Attributes:
        what: How it was reached.
        width_multiplier: α, where it is that of a plain MobileNet V1.
        resolution: Side of the input in pixels.
        million_macs: Mult-Adds, where they are printed.
        top1: Percent; the lower end where a range is printed.
        top1_high: The upper end of that range.
        source: Where it was printed.
    """

    what: str
    width_multiplier: float | None
    resolution: int
    million_macs: float | None
    top1: float
    top1_high: float | None
    source: str


_TIMM = "timm, results-imagenet.csv"
_IMGCLSMOB = "imgclsmob, table of ImageNet models"
_UNIVERSALLY_SLIMMABLE = "Yu and Huang 2019, arXiv:1903.05134"
_AUTOSLIM = "Yu and Huang 2019, arXiv:1903.11728"
_WHITE_PAPER = "Krishnamoorthi 2018, arXiv:1806.08342"
_NO_BATCH_NORM = "no batch norm after the depthwise layer"
_ALL_WIDTHS = "one network for all widths"

LATER_RESULTS: tuple[LaterResult, ...] = (
    LaterResult("long training, strong augmentation", 1.0, 224, None, 75.4, None, _TIMM),
    LaterResult("long training, strong augmentation", 1.0, 256, None, 76.1, None, _TIMM),
    LaterResult("long training, strong augmentation", 1.25, 224, None, 76.9, None, _TIMM),
    LaterResult(_NO_BATCH_NORM, 0.25, 224, None, 54.8, None, _IMGCLSMOB),
    LaterResult(_NO_BATCH_NORM, 0.5, 224, None, 67.1, None, _IMGCLSMOB),
    LaterResult(_NO_BATCH_NORM, 0.75, 224, None, 70.9, None, _IMGCLSMOB),
    LaterResult(_NO_BATCH_NORM, 1.0, 224, None, 74.9, None, _IMGCLSMOB),
    LaterResult(_ALL_WIDTHS, 0.25, 224, 41, 55.7, None, _UNIVERSALLY_SLIMMABLE),
    LaterResult(_ALL_WIDTHS, 0.5, 224, 149, 64.2, None, _UNIVERSALLY_SLIMMABLE),
    LaterResult(_ALL_WIDTHS, 0.75, 224, 325, 69.5, None, _UNIVERSALLY_SLIMMABLE),
    LaterResult(_ALL_WIDTHS, 1.0, 224, 568, 71.8, None, _UNIVERSALLY_SLIMMABLE),
    LaterResult("widths searched layer by layer", None, 224, 150, 67.9, None, _AUTOSLIM),
    LaterResult("widths searched layer by layer", None, 224, 325, 71.5, None, _AUTOSLIM),
    LaterResult("widths searched layer by layer", None, 224, 572, 73.0, None, _AUTOSLIM),
    LaterResult("distilled from ResNet-50", 1.0, 224, None, 72.0, 73.0, "several reports"),
    LaterResult("8-bit, naive, per tensor", 1.0, 224, None, 0.1, None, _WHITE_PAPER),
    LaterResult("8-bit, per channel, asymmetric", 1.0, 224, None, 70.3, None, _WHITE_PAPER),
    LaterResult("8-bit, quantization-aware training", 1.0, 224, None, 70.7, None, _WHITE_PAPER),
    LaterResult("float, which these three come from", 1.0, 224, None, 70.9, None, _WHITE_PAPER),
)


class PublishedNetwork(NamedTuple):
    """One printed row about a network on ImageNet.

    Attributes:
        network: As the catalog writes it: name, α and resolution.
        top1: Percent.
        top5: Percent, where it is printed.
        million_macs: Mult-Adds.
        million_parameters: Parameters.
    """

    network: str
    top1: float
    top5: float | None
    million_macs: float
    million_parameters: float


@dataclass(frozen=True)
class FamilyTable:
    """The results that the authors of a successor of MobileNet published.

    Attributes:
        name: ``v2``, ``v3`` or ``v4``.
        caption: What it is about.
        source: Where it was printed.
        rows: The rows.
    """

    name: str
    caption: str
    source: str
    rows: tuple[PublishedNetwork, ...]


_SUCCESSORS = "TensorFlow models repository, TF-slim, mobilenet/README.md"

_V2 = FamilyTable(
    "v2",
    "MobileNet V2: the released networks on ImageNet",
    _SUCCESSORS,
    (
        PublishedNetwork("mobilenet_v2@1.4-224", 75.0, 92.5, 582, 6.06),
        PublishedNetwork("mobilenet_v2@1.3-224", 74.4, 92.1, 509, 5.34),
        PublishedNetwork("mobilenet_v2@1-224", 71.8, 91.0, 300, 3.47),
        PublishedNetwork("mobilenet_v2@1-192", 70.7, 90.1, 221, 3.47),
        PublishedNetwork("mobilenet_v2@1-160", 68.8, 89.0, 154, 3.47),
        PublishedNetwork("mobilenet_v2@1-128", 65.3, 86.9, 99, 3.47),
        PublishedNetwork("mobilenet_v2@1-96", 60.3, 83.2, 56, 3.47),
        PublishedNetwork("mobilenet_v2@0.75-224", 69.8, 89.6, 209, 2.61),
        PublishedNetwork("mobilenet_v2@0.75-192", 68.7, 88.9, 153, 2.61),
        PublishedNetwork("mobilenet_v2@0.75-160", 66.4, 87.3, 107, 2.61),
        PublishedNetwork("mobilenet_v2@0.75-128", 63.2, 85.3, 69, 2.61),
        PublishedNetwork("mobilenet_v2@0.75-96", 58.8, 81.6, 39, 2.61),
        PublishedNetwork("mobilenet_v2@0.5-224", 65.4, 86.4, 97, 1.95),
        PublishedNetwork("mobilenet_v2@0.5-192", 63.9, 85.4, 71, 1.95),
        PublishedNetwork("mobilenet_v2@0.5-160", 61.0, 83.2, 50, 1.95),
        PublishedNetwork("mobilenet_v2@0.5-128", 57.7, 80.8, 32, 1.95),
        PublishedNetwork("mobilenet_v2@0.5-96", 51.2, 75.8, 18, 1.95),
        PublishedNetwork("mobilenet_v2@0.35-224", 60.3, 82.9, 59, 1.66),
        PublishedNetwork("mobilenet_v2@0.35-192", 58.2, 81.2, 43, 1.66),
        PublishedNetwork("mobilenet_v2@0.35-160", 55.7, 79.1, 30, 1.66),
        PublishedNetwork("mobilenet_v2@0.35-128", 50.8, 75.0, 20, 1.66),
        PublishedNetwork("mobilenet_v2@0.35-96", 45.5, 70.4, 11, 1.66),
    ),
)

_V3 = FamilyTable(
    "v3",
    "MobileNet V3: the released networks on ImageNet",
    _SUCCESSORS,
    (
        PublishedNetwork("mobilenet_v3_large@1-224", 75.6, None, 217, 5.4),
        PublishedNetwork("mobilenet_v3_large@0.75-224", 73.3, None, 155, 4.0),
        PublishedNetwork("mobilenet_v3_large_minimalistic@1-224", 72.3, None, 209, 3.9),
        PublishedNetwork("mobilenet_v3_small@1-224", 68.1, None, 66, 2.9),
        PublishedNetwork("mobilenet_v3_small@0.75-224", 65.4, None, 44, 2.4),
        PublishedNetwork("mobilenet_v3_small_minimalistic@1-224", 61.9, None, 65, 2.0),
    ),
)

_V4 = FamilyTable(
    "v4",
    "MobileNet V4: the convolutional networks on ImageNet",
    "Qin et al. 2024, arXiv:2404.10518",
    (
        PublishedNetwork("mobilenet_v4_conv_small@1-224", 73.8, None, 200, 3.8),
        PublishedNetwork("mobilenet_v4_conv_medium@1-256", 79.9, None, 1000, 9.2),
        PublishedNetwork("mobilenet_v4_conv_large@1-384", 82.9, None, 5900, 31),
    ),
)

FAMILY_TABLES: dict[str, FamilyTable] = {table.name: table for table in (_V2, _V3, _V4)}
"""By name."""


class PublishedWeights(NamedTuple):
    """Weights that can be fetched, and how well they answer on ImageNet's validation images.

    Attributes:
        short_name: What ``mobilenets import`` takes.
        network: As the catalog writes it, with the resolution of the test.
        top1: Percent.
        top5: Percent, where it is printed.
        source: Where it was printed.
        int8_top1: Of the publisher's own 8-bit network, where one is printed; ``top1`` again where the weights are
            8-bit themselves.
    """

    short_name: str
    network: str
    top1: float
    top5: float | None
    source: str
    int8_top1: float | None = None


_TORCHVISION = "torchvision, documentation of its models"

WEIGHTS: tuple[PublishedWeights, ...] = (
    *(
        PublishedWeights(
            f"keras:{float(one.width_multiplier)}-{one.resolution}",
            f"mobilenet_v1@{one.width_multiplier:g}-{one.resolution}",
            one.top1,
            one.top5,
            RELEASED_SOURCE,
            one.int8_top1,
        )
        for one in RELEASED_MODELS
    ),
    *(
        PublishedWeights(
            f"coral:{float(one.width_multiplier)}-{one.resolution}",
            f"mobilenet_v1@{one.width_multiplier:g}-{one.resolution}",
            one.int8_top1,
            one.int8_top5,
            RELEASED_SOURCE,
            one.int8_top1,
        )
        for one in RELEASED_MODELS
        if (one.width_multiplier, one.resolution) in ((1.0, 224), (0.75, 192), (0.5, 160), (0.25, 128))
    ),
    *(
        PublishedWeights(f"keras:{one.network}", one.network, one.top1, one.top5, table.source)
        for table in (_V2, _V3)
        for one in table.rows
    ),
    PublishedWeights("torchvision:mobilenet_v2.v1", "mobilenet_v2@1-224", 71.878, 90.286, _TORCHVISION),
    PublishedWeights("torchvision:mobilenet_v2.v2", "mobilenet_v2@1-224", 72.154, 90.822, _TORCHVISION),
    PublishedWeights("torchvision:mobilenet_v3_small.v1", "mobilenet_v3_small@1-224", 67.668, 87.402, _TORCHVISION),
    PublishedWeights("torchvision:mobilenet_v3_large.v1", "mobilenet_v3_large@1-224", 74.042, 91.34, _TORCHVISION),
    PublishedWeights("torchvision:mobilenet_v3_large.v2", "mobilenet_v3_large@1-224", 75.274, 92.566, _TORCHVISION),
    PublishedWeights("timm:mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenet_v1@1-224", 75.388, 92.31, _TIMM),
    PublishedWeights("timm:mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenet_v1@1-256", 76.088, 93.006, _TIMM),
    PublishedWeights("timm:mobilenetv1_100h.ra4_e3600_r224_in1k", "mobilenet_v1_h@1-224", 75.664, 92.522, _TIMM),
    PublishedWeights("timm:mobilenetv1_100h.ra4_e3600_r224_in1k", "mobilenet_v1_h@1-256", 76.598, 93.272, _TIMM),
    PublishedWeights("timm:mobilenetv1_125.ra4_e3600_r224_in1k", "mobilenet_v1@1.25-224", 76.92, 93.232, _TIMM),
    PublishedWeights("timm:mobilenetv1_125.ra4_e3600_r224_in1k", "mobilenet_v1@1.25-256", 77.612, 93.754, _TIMM),
    PublishedWeights("timm:mobilenetv2_050.lamb_in1k", "mobilenet_v2@0.5-224", 65.928, 86.114, _TIMM),
    PublishedWeights("timm:mobilenetv2_100.ra_in1k", "mobilenet_v2@1-224", 72.91, 91, _TIMM),
    PublishedWeights("timm:mobilenetv2_140.ra_in1k", "mobilenet_v2@1.4-224", 76.528, 93.008, _TIMM),
    PublishedWeights("timm:mobilenetv3_small_050.lamb_in1k", "mobilenet_v3_small@0.5-224", 57.918, 80.144, _TIMM),
    PublishedWeights("timm:mobilenetv3_small_075.lamb_in1k", "mobilenet_v3_small@0.75-224", 65.284, 85.462, _TIMM),
    PublishedWeights("timm:mobilenetv3_small_100.lamb_in1k", "mobilenet_v3_small@1-224", 67.636, 87.638, _TIMM),
    PublishedWeights("timm:mobilenetv3_large_100.miil_in21k_ft_in1k", "mobilenet_v3_large@1-224", 77.92, 92.894, _TIMM),
    PublishedWeights(
        "timm:mobilenetv3_large_100.ra4_e3600_r224_in1k", "mobilenet_v3_large@1-224", 76.31, 92.842, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv3_large_100.ra4_e3600_r224_in1k", "mobilenet_v3_large@1-256", 77.182, 93.328, _TIMM
    ),
    PublishedWeights("timm:mobilenetv3_large_100.ra_in1k", "mobilenet_v3_large@1-224", 75.784, 92.528, _TIMM),
    PublishedWeights(
        "timm:mobilenetv4_conv_small_050.e3000_r224_in1k", "mobilenet_v4_conv_small@0.5-224", 64.778, 85.5, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small_050.e3000_r224_in1k", "mobilenet_v4_conv_small@0.5-256", 65.826, 86.416, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e1200_r224_in1k", "mobilenet_v4_conv_small@1-224", 73.45, 91.34, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e1200_r224_in1k", "mobilenet_v4_conv_small@1-256", 74.282, 92.122, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e2400_r224_in1k", "mobilenet_v4_conv_small@1-224", 73.756, 91.43, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e2400_r224_in1k", "mobilenet_v4_conv_small@1-256", 74.644, 92.022, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e3600_r256_in1k", "mobilenet_v4_conv_small@1-256", 74.534, 91.94, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_small.e3600_r256_in1k", "mobilenet_v4_conv_small@1-320", 75.616, 92.768, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_medium.e250_r384_in12k_ft_in1k", "mobilenet_v4_conv_medium@1-384", 82.776, 96.448, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_medium.e500_r224_in1k", "mobilenet_v4_conv_medium@1-224", 79.092, 94.788, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_medium.e500_r224_in1k", "mobilenet_v4_conv_medium@1-256", 79.836, 95.192, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_medium.e500_r256_in1k", "mobilenet_v4_conv_medium@1-256", 79.916, 95.188, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_medium.e500_r256_in1k", "mobilenet_v4_conv_medium@1-320", 80.89, 95.75, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_large.e500_r256_in1k", "mobilenet_v4_conv_large@1-256", 81.864, 95.696, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_large.e500_r256_in1k", "mobilenet_v4_conv_large@1-320", 82.672, 96.31, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_large.e600_r384_in1k", "mobilenet_v4_conv_large@1-384", 82.974, 96.244, _TIMM
    ),
    PublishedWeights(
        "timm:mobilenetv4_conv_large.e600_r384_in1k", "mobilenet_v4_conv_large@1-448", 83.418, 96.612, _TIMM
    ),
)
"""Weights of every family, by publisher."""
