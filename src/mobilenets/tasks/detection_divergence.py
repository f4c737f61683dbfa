"""How far what one detector sees lies from what another sees, image by image."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.detection_heads import AnchorHead, CentreHead, DetectionHead, ScoreMeaning
from mobilenets.tasks.task import Outputs

Values = npt.NDArray[np.float64]

SMALLEST_SUM = 1.0
"""Objects that an image is taken to have at least: what differs is counted by them."""


def divergences(head: DetectionHead, outputs: Outputs, expected: Outputs) -> Values:
    """The divergence of all scores, and of boxes where the other sees an object, for every object that it sees.

    A candidate that neither takes for an object may be anywhere.

    Args:
        head: What the outputs of both mean.
        outputs: Of one detector, for N images.
        expected: Of the other.

    Returns:
        (N,): Kullback-Leibler divergence of the scores, in nats, and squared error of what boxes are predicted with,
        weighted by the other's probability of an object.
    """
    match head:
        case AnchorHead():
            (codes, logits), (wanted_codes, wanted) = head.flat(list(outputs)), head.flat(list(expected))
            each, sureness = _divergence(logits, wanted, head.scores)
            errors = np.square(codes.astype(np.float64) - wanted_codes).mean(axis=2)
            total = each.sum(axis=1) + (sureness * errors).sum(axis=1)
        case CentreHead():
            logits, wanted = (
                maps[0].reshape(len(maps[0]), maps[0].shape[1], -1).transpose(0, 2, 1) for maps in (outputs, expected)
            )
            each, sureness = _divergence(logits, wanted, ScoreMeaning.SOFTMAX)
            total = each.sum(axis=1)
        case _:
            assert_never(head)
    result: Values = total / sureness.sum(axis=1).clip(min=SMALLEST_SUM)
    return result


def _divergence(
    logits: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], scores: ScoreMeaning
) -> tuple[Values, Values]:
    """Divergence of the scores of each candidate, and the other's probability of an object, (N, A) both."""
    given, wanted = logits.astype(np.float64), expected.astype(np.float64)
    match scores:
        case ScoreMeaning.SIGMOID:
            share = np.exp(-np.logaddexp(0, -wanted))
            # log σ(x) = −log(1 + e⁻ˣ), log(1 − σ(x)) = −log(1 + eˣ)
            yes = np.logaddexp(0, -given) - np.logaddexp(0, -wanted)
            no = np.logaddexp(0, given) - np.logaddexp(0, wanted)
            return (share * yes + (1 - share) * no).sum(axis=2), share.max(axis=2)
        case ScoreMeaning.SOFTMAX:
            logs, wanted_logs = (
                values - np.logaddexp.reduce(values, axis=2, keepdims=True) for values in (given, wanted)
            )
            share = np.exp(wanted_logs)
            return (share * (wanted_logs - logs)).sum(axis=2), 1 - share[..., 0]
        case _:
            assert_never(scores)
