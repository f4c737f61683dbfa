"""What a step minimizes where a detector learns to answer as another does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.tasks.detection_divergence import SMALLEST_SUM
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead, DetectionHead, ScoreMeaning
from mobilenets.training.batches import Batch
from mobilenets.training.detection.losses import flat_outputs
from mobilenets.training.distributed import mean_by_weight, whole_variance


class DetectorDistillation:
    """The objective of a detector whose maps shall be those of a teacher; no boxes are needed.

    What is minimized is what int8 detectors are compared by (:mod:`mobilenets.tasks.detection_divergence`),
    and the relative error of the logits, which does not vanish where the teacher is sure of everything.

    Args:
        teacher: Gives all outputs in order for the images of a batch.
        head: What the outputs mean.
    """

    def __init__(self, teacher: Callable[[Tensor], Sequence[Tensor]], head: DetectionHead) -> None:
        self._teacher, self._head = teacher, head

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        """The loss; right answers are not counted one by one."""
        with torch.no_grad():
            wanted = self._teacher(batch.images)
        return self.of_outputs(module(batch.images), wanted, batch.total), None

    def of_outputs(self, found: Sequence[Tensor], wanted: Sequence[Tensor], of: int | None = None) -> Tensor:
        """The loss of some outputs.

        Args:
            found: The student's, in order, as maps.
            wanted: The teacher's.
            of: Images of the step in all processes; those of the outputs if None.
        """
        match self._head:
            case AnchorHead():
                codes, logits = flat_outputs(found, self._head)
                wanted_codes, wanted_logits = flat_outputs(wanted, self._head)
                divergence, sureness = _divergence(logits, wanted_logits, self._head.scores)
                errors = (codes - wanted_codes).square().mean(dim=2)
                whole = divergence.sum() + (sureness * errors).sum()
            case CentreHead():
                logits, wanted_logits = (
                    maps[0].float().reshape(len(maps[0]), maps[0].shape[1], -1).transpose(1, 2)
                    for maps in (found, wanted)
                )
                divergence, sureness = _divergence(logits, wanted_logits, ScoreMeaning.SOFTMAX)
                whole = divergence.sum()
            case _:
                assert_never(self._head)
        relative = functional.mse_loss(logits, wanted_logits) / whole_variance(wanted_logits).clamp(min=1e-12)
        images = len(logits)
        return mean_by_weight(whole, sureness.sum(), images, of or images, least=SMALLEST_SUM) + relative


def _divergence(logits: Tensor, wanted: Tensor, scores: ScoreMeaning) -> tuple[Tensor, Tensor]:
    """Divergence of the scores of each candidate from the teacher's, and the teacher's share of an object: (N, A)."""
    match scores:
        case ScoreMeaning.SIGMOID:
            share = wanted.sigmoid()
            entropy, own = (
                functional.binary_cross_entropy_with_logits(values, share, reduction="none")
                for values in (logits, wanted)
            )
            return (entropy - own).sum(dim=2), share.amax(dim=2)
        case ScoreMeaning.SOFTMAX:
            share = wanted.softmax(dim=2)
            difference = functional.log_softmax(wanted, dim=2) - functional.log_softmax(logits, dim=2)
            return (share * difference).sum(dim=2), 1 - share[..., 0]
        case _:
            assert_never(scores)
