"""The frontier of accuracy against latency or another cost, its knee, and the choice within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mobilenets.base.text import plural
from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget, Chosen, affordable
from mobilenets.search.candidates import COST_KINDS, Candidate, CostKind


def compared_by(candidates: Sequence[Candidate], budget: Budget) -> CostKind:
    """The cost that candidates are compared by: latency or a microcontroller's instructions where they are known, else
    the first that the budget limits."""
    if all(one.latency_ms is not None for one in candidates):
        return "latency_ms"
    if all(one.instructions is not None for one in candidates):
        return "instructions"
    return next((kind for kind in COST_KINDS if kind != "latency_ms" and budget.limit(kind) is not None), "macs")


def frontier(candidates: Sequence[Chosen], by: CostKind = "latency_ms") -> list[Chosen]:
    """The Pareto set: candidates that no other beats in both a cost and accuracy, the cheapest first.

    Args:
        candidates: To compare.
        by: The cost, such as that of :func:`compared_by`.

    Raises:
        PlanningError: If it is the latency, and was not measured.
    """
    best: list[Chosen] = []
    for candidate in sorted(candidates, key=lambda one: (one.cost(by), -one.accuracy)):
        if not best or candidate.accuracy > best[-1].accuracy:
            best.append(candidate)
    return best


def knee(candidates: Sequence[Chosen], by: CostKind = "latency_ms") -> Chosen:
    """The knee of the frontier: the point past which more time buys little accuracy.

    On the frontier of accuracy against the logarithm of latency, or of another cost, both scaled to [0, 1], the point
    furthest above the line from the quickest to the most accurate; the most accurate where none lies above it. Source:
    the criterion of Satopää et al. 2011, "Finding a Kneedle in a Haystack".

    Raises:
        PlanningError: If there are no candidates.
    """
    curve = frontier(candidates, by)
    if not curve:
        raise PlanningError("there is nothing to choose from")
    first, last = curve[0], curve[-1]
    least = first.cost(by)
    time = math.log(last.cost(by) / least) or 1.0
    gain = (last.accuracy - first.accuracy) or 1.0

    def height(candidate: Chosen) -> float:
        across = math.log(candidate.cost(by) / least) / time
        return (candidate.accuracy - first.accuracy) / gain - across

    return max(curve, key=lambda candidate: (height(candidate), candidate.accuracy))


def choose(candidates: Sequence[Chosen], budget: Budget) -> Chosen:
    """Choose the candidate that a budget is best spent on.

    The most accurate that meets the limits, the quicker of two equals (or the cheaper, where latencies are not known);
    with ``min_accuracy`` the quickest that reaches it; without any limit the knee of the frontier (see :func:`knee`).

    Raises:
        PlanningError: If none meets the budget; the message names the nearest.
    """
    within = affordable(candidates, budget)
    if budget.min_accuracy is not None:
        good = [candidate for candidate in within if candidate.accuracy >= budget.min_accuracy]
        if not good:
            best = max(within, key=lambda candidate: candidate.accuracy)
            raise PlanningError(
                f"nothing within the budget reaches {100 * budget.min_accuracy:.1f} %; "
                f"the best is {best} with {100 * best.accuracy:.1f} %"
            )
        by = compared_by(good, budget)
        return min(good, key=lambda candidate: (candidate.cost(by), candidate.macs))
    if budget.empty:
        return knee(candidates, compared_by(candidates, budget))
    by = compared_by(within, budget)
    return max(within, key=lambda candidate: (candidate.accuracy, -candidate.cost(by)))


def explain_knee(candidates: Sequence[Candidate], choice: Candidate) -> str:
    """Why the choice is the knee of some candidates, or that they have none."""
    if choice == frontier(candidates, compared_by(candidates, Budget()))[-1]:
        return "the most accurate: the curve has no knee past which time buys little"
    return "the knee of the curve: past it, time buys little"


def explain(
    candidates: Sequence[Candidate], budget: Budget, choice: Candidate, judged: str = "on the validation images"
) -> str:
    """Why :func:`choose` took one of some candidates, in one sentence.

    Args:
        candidates: What there was to choose from.
        budget: Limits, and the accuracy to reach.
        choice: The one that was taken.
        judged: What the accuracies of the candidates are told by.
    """
    networks = plural(sum(budget.meets(one) for one in candidates), "network")
    if budget.empty:
        return f"no budget was given, and of {networks} it is {explain_knee(candidates, choice)}"
    if budget.min_accuracy is not None:
        limited = "" if str(budget) == "no limit" else f" with {budget}"
        return f"of {networks}{limited} it is the quickest that reaches {100 * budget.min_accuracy:.1f} %"
    return f"of {networks} with {budget} it is the most accurate {judged}"
