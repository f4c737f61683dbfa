"""COCO's classes: 80 kinds of objects, numbered from 1 to 90 with gaps.

Source: Lin et al. 2014, arXiv:1405.0312, appendix; the numbers are those of the annotations of 2014 and 2017.
"""

from __future__ import annotations

_TEXT = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, "
    "-, -, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining "
    "table, -, -, toilet, -, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, -, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
"""Names in the order of their numbers, with a dash for a number that no class has."""
_GAP = "-"
_NAMES = tuple(_TEXT.split(", "))


def coco_labels(classes: int) -> tuple[str, ...] | None:
    """Class names of a detector of COCO's objects, or None if that is not a number that such detectors have.

    Args:
        classes: 90, where the numbers that COCO leaves out are classes too, or 80.

    >>> coco_labels(90)[:2], coco_labels(90)[11], len(coco_labels(80)), coco_labels(10)
    (('person', 'bicycle'), 'unused 12', 80, None)
    """
    if classes == len(_NAMES):
        return tuple(f"unused {n}" if name == _GAP else name for n, name in enumerate(_NAMES, start=1))
    names = tuple(name for name in _NAMES if name != _GAP)
    return names if classes == len(names) else None
