"""Successive halving: which contenders are worth the next, dearer stage, by what the stages before have shown.

Source: Jamieson and Talwalkar 2016, arXiv:1502.07943.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.contenders import Started
from mobilenets.search.frontier import choose

INT8_LOSS = 0.004
"""Accuracy that int8 is taken to lose where it has not been tried yet."""
HEAD_ERROR = 0.025
"""Standard error of the accuracy after fine-tuning, as the head on frozen features tells it."""
PAIRED = 0.6
"""Two networks err on much the same images: by this factor their difference varies less than either."""
PRIOR_ERROR = 0.04
"""Standard deviation of the accuracy of heads around what the size of a network tells beforehand."""
DOUBLING = 0.015
"""What a network of twice the Mult-Adds is better by, beforehand."""
CUT = 0.02
"""What a network that was cut is worse by, beforehand."""
USUAL_GAIN = 0.06
"""What fine-tuning adds to the accuracy of a head on frozen features, where none has been fine-tuned yet."""


def expected(candidates: Sequence[Started], validation_images: int, head_images: int) -> list[Started]:
    """Candidates with the accuracy that each is expected to have, by all that is known of all of them.

    Few validation images say little, and a head that was judged on all training images says something of every
    candidate: each counts by how far it may err.

    Args:
        candidates: That a head was tried for, at least.
        validation_images: Number of images that short fine-tunings were validated on.
        head_images: Number of images that heads were judged on.
    """
    heads = _heads(candidates, head_images)
    tuned = [one for one in candidates if one.tuned_top1 is not None and not _failed(one, validation_images)]
    gains = [_of(one.tuned_top1) - (heads[network_of(one)] - _loss(one)) for one in tuned]
    gain = sum(gains) / len(gains) if gains else USUAL_GAIN
    return [
        replace(one, accuracy=_expected(one, heads[network_of(one)] + gain, validation_images)) for one in candidates
    ]


def _heads(candidates: Sequence[Started], images: int) -> dict[tuple[str, float, int], float]:
    """What heads got, as far as so many images tell; the rest is what the sizes of the networks tell beforehand."""
    size = {network_of(one): math.log2(one.macs) * DOUBLING - CUT * one.cut for one in candidates}
    got = {network_of(one): _of(one.head_top1) for one in candidates}
    level = sum(got.values()) / len(got) - sum(size.values()) / len(size)
    found = {}
    for key, top1 in got.items():
        error = PAIRED * _error(top1, images)
        weight = error**-2 / (error**-2 + PRIOR_ERROR**-2)
        found[key] = weight * top1 + (1 - weight) * (level + size[key])
    return found


def _expected(one: Started, after: float, images: int) -> float:
    by_head = min(after - _loss(one), 1.0)
    if one.tuned_top1 is None:
        return by_head
    if _failed(one, images):
        return one.tuned_top1
    error = PAIRED * _error(one.tuned_top1, images)
    weight = error**-2 / (error**-2 + HEAD_ERROR**-2)
    return weight * one.tuned_top1 + (1 - weight) * by_head


def _failed(one: Started, images: int) -> bool:
    """Whether fine-tuning has lost what the head had, beyond doubt: no head makes up for a training that failed."""
    if one.tuned_top1 is None:
        return False
    return one.tuned_top1 + 2 * _error(one.tuned_top1, images) < _of(one.head_top1) - _loss(one)


def _error(share: float, images: int) -> float:
    """Standard error of a share of some images, which is never none."""
    likely = (share * images + 1) / (images + 2)
    return math.sqrt(likely * (1 - likely) / max(1, images))


def _loss(one: Started) -> float:
    return INT8_LOSS if one.precision == "int8" else 0.0


def _of(share: float | None) -> float:
    return 0.0 if share is None else share


def shortlist(candidates: Sequence[Started], budget: Budget, count: int) -> list[Started]:
    """The candidates to look at more closely, the most promising first: one of each network, whatever its precision.

    Each is what would be chosen if those before it were not there. Where the accuracy that is wanted is out of reach,
    the most accurate are looked at.

    Args:
        candidates: With the accuracies that are expected of them.
        budget: Limits, and the accuracy to reach.
        count: How many.
    """
    left, found = list(candidates), list[Started]()
    while left and len(found) < count:
        best = _best(left, budget)
        if best is None:
            break  # nothing that is left meets the limits
        found.append(best)
        left = [one for one in left if network_of(one) != network_of(best)]
    return found


def _best(candidates: Sequence[Started], budget: Budget) -> Started | None:
    within = [one for one in candidates if budget.meets(one)]
    if not within:
        return None
    try:
        return choose(within, budget)
    except PlanningError:  # the accuracy that is wanted is out of reach
        return max(within, key=lambda one: one.accuracy)


def network_of(one: Started) -> tuple[str, float, int]:
    """What the precisions of a network have in common: its weights and its size."""
    return one.weights, one.width_multiplier, one.resolution
