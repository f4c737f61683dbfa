"""All tasks, by the tag that they have in a Model file.

A task's module is imported when a Model of that task is read: what predicts with one loads no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mobilenets.errors import ModelError
from mobilenets.tasks.task import Task


def _classification(data: Mapping[str, Any]) -> Task:
    from mobilenets.tasks.classification import Classification

    return Classification.from_json(data)


def _detection(data: Mapping[str, Any]) -> Task:
    from mobilenets.tasks.detection import Detection

    return Detection.from_json(data)


def _features(data: Mapping[str, Any]) -> Task:
    from mobilenets.tasks.features import Features

    return Features.from_json(data)


def _multilabel(data: Mapping[str, Any]) -> Task:
    from mobilenets.tasks.multilabel import MultiLabel

    return MultiLabel.from_json(data)


TASKS: dict[str, Callable[[Mapping[str, Any]], Task]] = {
    "classification": _classification,
    "detection": _detection,
    "features": _features,
    "multilabel": _multilabel,
}
"""What reads each task's :meth:`~mobilenets.tasks.task.Task.encode`."""


def decode_task(data: object) -> Task:
    """The task that some JSON values describe.

    Raises:
        ModelError: If they describe none that is known.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
        raise ModelError("a task must be an object with its kind")
    if data["kind"] not in TASKS:
        raise ModelError(f"the task is {data['kind']!r:.80}; known are {', '.join(TASKS)}")
    return TASKS[data["kind"]](data)
