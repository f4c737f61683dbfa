"""What a step of a detector minimizes.

Sources: quality focal loss, whose target is how well the predicted box fits, Li et al. 2020, arXiv:2006.04388; focal
loss, Lin et al. 2017, arXiv:1708.02002; generalized intersection over union, Rezatofighi et al. 2019,
arXiv:1902.09630.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.tasks.detection_heads import LARGEST_LOGARITHM, AnchorHead, CentreHead, ScoreMeaning
from mobilenets.training.batches import Batch
from mobilenets.training.detection.matching import BACKGROUND, IGNORED
from mobilenets.training.distributed import mean_by_weight

FOCUS = 2.0
"""Power by which what is answered well already counts less."""
BOX_SHARE = 2.0
"""What a unit of box loss counts in units of the loss of classes."""
OBJECT_WEIGHT = 100.0
"""What a cell with an object counts against one without, where there is one cell an object."""
EPSILON = 1e-7


class AnchorLoss:
    """The objective of a detector with anchors: quality focal loss of the classes, and 1 − generalized IoU of boxes.

    Args:
        head: What the outputs mean; each class with a score of its own.
    """

    def __init__(self, head: AnchorHead) -> None:
        if head.scores is not ScoreMeaning.SIGMOID:
            raise ValueError("detectors are trained with a score of its own for each class")
        self._head = head
        self._anchors = torch.from_numpy(head.anchors)
        self._coder = torch.tensor(head.coder)

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        """The loss; right answers are not counted one by one."""
        codes, logits = flat_outputs(module(batch.images), self._head)
        return self.of_outputs(codes, logits, batch.targets, batch.total), None

    def of_outputs(self, codes: Tensor, logits: Tensor, targets: Tensor, of: int | None = None) -> Tensor:
        """The loss of some outputs.

        Args:
            codes: float32 (N, A, 4), what boxes are predicted with.
            logits: float32 (N, A, classes).
            targets: float32 (N, A, 5), as a matcher gives them.
            of: Images of the step in all processes; N if None.
        """
        classes = targets[..., 4]
        asked = classes >= 0
        boxes = self._boxes(codes[asked], self._anchors.to(codes.device).expand(len(codes), -1, -1)[asked])
        overlap, generalized = box_overlap(boxes, targets[..., :4][asked])
        wanted = torch.zeros_like(logits)
        images, anchors = asked.nonzero(as_tuple=True)
        wanted[images, anchors, classes[asked].long()] = overlap.detach().clamp(min=0)
        score = logits.sigmoid()
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        each = each * (wanted - score).abs().pow(FOCUS) * (classes != IGNORED)[..., None]
        total = each.sum() + BOX_SHARE * (1 - generalized).sum()
        return mean_by_weight(total, asked.sum(), len(codes), of or len(codes), least=1)

    def _boxes(self, codes: Tensor, anchors: Tensor) -> Tensor:
        scaled = codes / self._coder.to(codes.device)
        centre = anchors[:, :2] + scaled[:, :2] * anchors[:, 2:]
        half = anchors[:, 2:] * scaled[:, 2:].clamp(max=LARGEST_LOGARITHM).exp() / 2
        return torch.cat([centre - half, centre + half], dim=1)


class CentreLoss:
    """The objective of a map of centres: cross-entropy in which the rare cells with an object count more.

    Args:
        head: What the output means.
    """

    def __init__(self, head: CentreHead) -> None:
        self._head = head

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        """The loss; right answers are not counted one by one."""
        (logits,) = module(batch.images)
        return self.of_outputs(logits.float().flatten(2).transpose(1, 2), batch.targets, batch.total), None

    def of_outputs(self, logits: Tensor, targets: Tensor, of: int | None = None) -> Tensor:
        """The loss of some outputs.

        Args:
            logits: float32 (N, cells, 1 + classes), the background's first.
            targets: float32 (N, cells, 5), as a matcher gives them.
            of: Images of the step in all processes; N if None.
        """
        classes = targets[..., 4].long()
        known = classes != IGNORED
        each = functional.cross_entropy(
            logits.flatten(0, 1), (classes.clamp(min=BACKGROUND) + 1).flatten(), reduction="none"
        ).view(classes.shape)
        sure = 1 - torch.exp(-each)  # as focal loss has it: what is answered well already counts less
        weight = torch.where(classes >= 0, OBJECT_WEIGHT, 1.0) * known * sure.detach().pow(FOCUS)
        weighed = OBJECT_WEIGHT * (classes >= 0).sum()
        return mean_by_weight((each * weight).sum(), weighed, len(logits), of or len(logits), least=OBJECT_WEIGHT)


def flat_outputs(maps: Sequence[Tensor], head: AnchorHead) -> tuple[Tensor, Tensor]:
    """Outputs of a detector, anchor by anchor: float32 (N, A, 4) and (N, A, classes)."""
    parts = []
    for first in (0, 1):
        some = [
            # channels-last in memory, so that this copies nothing
            one.float().reshape(len(one), -1, level.rows * level.columns).transpose(1, 2)
            for one, level in zip(maps[first::2], head.levels, strict=True)
        ]
        cells = [len(level.shapes) * level.rows * level.columns for level in head.levels]
        parts.append(torch.cat([one.reshape(len(one), count, -1) for one, count in zip(some, cells, strict=True)], 1))
    return parts[0], parts[1]


def box_overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of pairs of boxes, and the generalized one, (n,) each.

    Args:
        one: (n, 4): left, top, right and bottom.
        other: (n, 4).

    >>> one, other = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 1, 2]])
    >>> [round(float(value), 3) for value in box_overlap(one, other)]
    [0.5, 0.5]
    """
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = [(each[:, 2:] - each[:, :2]).prod(dim=1) for each in (one, other)]
    union = areas[0] + areas[1] - shared
    overlap = shared / union.clamp(min=EPSILON)
    around = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    hull = around.prod(dim=1).clamp(min=EPSILON)
    return overlap, overlap - (hull - union) / hull
