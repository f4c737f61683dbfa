"""Charts as SVG: inline in a page, or as files of their own.

Colours come from the page's style, so that they follow light, dark and print; a file has a style of its own. An SVG
that is scaled down to a phone takes its letters with it. So every chart of a page is drawn twice, for a wide and for a
narrow page, and the style shows one of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from mobilenets.base.atomic_write import write_atomically
from mobilenets.reports.pages.markup import Child, Element, printable, tag

WIDE, NARROW = 760, 328
"""CSS pixels."""
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 28, 38
LETTER_WIDTH = 7
NOTE_LETTER_WIDTH, LETTER_HEIGHT, DESCENT = 7.5, 10, 3
"""Of the bold letters of a note."""
TOUCH, STRIDE, COVERED = 5, 6, 60
"""Pixels that words keep from marks; between the points by which lines are known; and what covering a mark is worth."""
HEADING, GAP_BETWEEN = 46, 24
"""Pixels above the charts of a file for its title and legend, and those between two charts."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low: Its least value.
        high: Its largest.
        title: What it shows, with its unit.
        logarithmic: Whether equal steps are equal factors.
        show: How a value is written.
    """

    low: float
    high: float
    title: str
    logarithmic: bool = False
    show: Callable[[float], str] = field(default=lambda value: f"{value:g}")

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """Round values along the axis, at most that many.

        >>> Axis(0, 103, "epoch").ticks(6), Axis(0.08, 3, "ms", logarithmic=True).ticks(6)
        ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [0.1, 0.2, 0.5, 1.0, 2.0])
        """
        if self.logarithmic:
            choices = [self._decades(steps) for steps in _LOG_STEPS]
        else:
            choices = [self._multiples(step) for step in _LINEAR_STEPS]
        return next((values for values in choices if len(values) <= most), choices[-1])

    def _multiples(self, step: float) -> list[float]:
        unit = step * 10.0 ** (math.floor(math.log10(self.high - self.low)) - 1)
        first, last = math.ceil(self.low / unit - 1e-9), math.floor(self.high / unit + 1e-9)
        return [round(number * unit, 12) for number in range(first, last + 1)]

    def _decades(self, steps: Sequence[float]) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [round(step * 10.0**exponent, 12) for exponent in exponents for step in steps]
        return [value for value in values if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]


_LINEAR_STEPS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_LOG_STEPS: tuple[tuple[float, ...], ...] = (
    (1, 1.5, 2, 3, 4, 5, 6, 7, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def around(values: Sequence[float], *, spare: float = 0.05, least: float = 0.0) -> tuple[float, float]:
    """Ends of a linear axis that shows all values with a little room."""
    low, high = min(values), max(values)
    room = max(spare * (high - low), least, 1e-9)
    return low - room, high + room


def around_logarithmic(values: Sequence[float], *, spare: float = 1.25) -> tuple[float, float]:
    """Ends of a logarithmic axis that shows all values with a little room."""
    return min(values) / spare, max(values) * spare


@dataclass(frozen=True)
class Box:
    """Where a line of words stands, in pixels.

    Attributes:
        left: Where it begins.
        base: The height of its base line.
        length: Its own.
    """

    left: float
    base: float
    length: float

    def lies_within(self, left: float, right: float, top: float, bottom: float) -> bool:
        """Whether all of it does."""
        high, low = self.base - LETTER_HEIGHT, self.base + DESCENT
        return left <= self.left and self.left + self.length <= right and top <= high and low <= bottom

    def covers(self, x: float, y: float) -> bool:
        """Whether a mark at a place would be under the words, or touch them."""
        beside = self.left - TOUCH <= x <= self.left + self.length + TOUCH
        return beside and self.base - LETTER_HEIGHT - TOUCH <= y <= self.base + DESCENT + TOUCH

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place of it that is nearest to another.

        >>> Box(100, 50, 70).nearest(90, 46), Box(100, 50, 70).nearest(120, 80)
        ((100, 46), (120, 53))
        """
        return min(max(x, self.left), self.left + self.length), min(
            max(y, self.base - LETTER_HEIGHT), self.base + DESCENT
        )


class Chart:
    """Axes, and what is drawn between them.

    Args:
        width: In CSS pixels.
        height: Likewise.
        x: Axis to the right.
        y: Axis upwards.
    """

    def __init__(self, width: float, height: float, x: Axis, y: Axis) -> None:
        self.width, self.height, self._x, self._y = width, height, x, y
        self._marks: list[Element] = []
        self._taken: list[tuple[float, float]] = []

    def across(self, value: float) -> float:
        """Pixels from the left."""
        return round(LEFT + self._x.share(value) * (self.width - LEFT - RIGHT), 1)

    def down(self, value: float) -> float:
        """Pixels from the top."""
        return round(self.height - BOTTOM - self._y.share(value) * (self.height - TOP - BOTTOM), 1)

    def line(self, points: Points, class_: str) -> None:
        """A line through points."""
        places = [(self.across(x), self.down(y)) for x, y in points]
        path = " ".join(f"{across:g},{down:g}" for across, down in places)
        for begin, end in pairwise(places):
            self._take(begin, end)
        self._marks.append(tag("polyline", points=path, class_=f"line {class_}"))

    def dot(
        self, x: float, y: float, class_: str, *, radius: float = 4.0, title: str = "", square: bool = False
    ) -> None:
        """A point; its title shows when it is pointed at."""
        across, down = self.across(x), self.down(y)
        self._taken.append((across, down))
        inner = tag("title", title) if title else None
        if square:
            side = 1.8 * radius
            place = {"x": round(across - side / 2, 1), "y": round(down - side / 2, 1), "width": side, "height": side}
            self._marks.append(tag("rect", inner, class_=f"dot {class_}", **place))
        else:
            self._marks.append(tag("circle", inner, cx=across, cy=down, r=radius, class_=f"dot {class_}"))

    def interval(self, x: float, low: float, high: float, class_: str) -> None:
        """A vertical bar from the low to the high end of an interval."""
        across, top, foot = self.across(x), self.down(high), self.down(low)
        self._marks.append(tag("line", x1=across, x2=across, y1=top, y2=foot, class_=f"interval {class_}"))
        for end in (top, foot):
            self._marks.append(tag("line", x1=across - 4, x2=across + 4, y1=end, y2=end, class_=f"interval {class_}"))

    def label(self, x: float, y: float, label: str, *, before: bool = False) -> None:
        """A name beside a point, a little above it."""
        self.text(
            self.across(x) + (-8 if before else 8), self.down(y) - 6, label, "tick", anchor="end" if before else None
        )

    def upright(self, x: float, class_: str, label: str = "", *, before: bool = False) -> None:
        """A vertical rule, with a label at its foot, where the points that are worth a label are not."""
        across, foot = self.across(x), self.height - BOTTOM
        self._take((across, TOP), (across, foot))
        self._marks.append(tag("line", x1=across, x2=across, y1=TOP, y2=foot, class_=f"rule {class_}"))
        if label:
            self.text(
                across + (-4 if before else 4), foot - 6, label, f"note {class_}", anchor="end" if before else None
            )

    def note(self, x: float, y: float, label: str, class_: str, *, above: float = 12.0) -> None:
        """Words near a point, where they cover the least of what is drawn so far; a line joins them where they are far.

        Args:
            x: Of the point.
            y: Likewise.
            label: The words.
            class_: Of the words.
            above: Pixels around the point that stay free.
        """
        across, down = self.across(x), self.down(y)
        length = NOTE_LETTER_WIDTH * len(label)
        boxes = [
            Box(across + aside - (length if before else 0), down + lower, length)
            for before in (True, False)
            for aside in (range(-100, 1, 10) if before else range(0, 101, 10))
            for lower in range(-180, 181, 6)
        ]
        inside = [box for box in boxes if box.lies_within(LEFT, self.width - RIGHT, TOP, self.height - BOTTOM)]
        if not inside:  # of a narrow chart: as far to the left as its words begin in it
            inside = [Box(max(LEFT, min(across + 10, self.width - RIGHT - length)), down - above, length)]
        best = min(inside, key=lambda box: self._cost_of(box, (across, down), above))
        near_x, near_y = best.nearest(across, down)
        if (distance := math.dist((near_x, near_y), (across, down))) > 2 * above:
            share = above / distance
            edge = across + share * (near_x - across), down + share * (near_y - down)
            self._marks.append(
                tag(
                    "line",
                    x1=round(edge[0], 1),
                    y1=round(edge[1], 1),
                    x2=round(near_x, 1),
                    y2=round(near_y, 1),
                    class_=f"leader {class_}",
                )
            )
        self.text(best.left, best.base, label, f"note {class_}")

    def _cost_of(self, box: Box, point: tuple[float, float], above: float) -> float:
        """How bad a place for words is: what they cover, and how far they are from their point."""
        distance = math.dist(box.nearest(*point), point)
        covered = sum(box.covers(*place) for place in self._taken)
        return distance + COVERED * covered + (COVERED if distance < above else 0)

    def _take(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Remember where a line runs, every few pixels."""
        steps = max(1, int(math.dist(begin, end) / STRIDE))
        for step in range(steps + 1):
            share = step / steps
            self._taken.append((begin[0] + share * (end[0] - begin[0]), begin[1] + share * (end[1] - begin[1])))

    def text(self, x: float, y: float, label: str, class_: str, *, anchor: str | None = None) -> None:
        """Words at a place in pixels."""
        self._marks.append(tag("text", label, x=round(x, 1), y=round(y, 1), class_=class_, text_anchor=anchor))

    def element(self, spoken: str) -> Element:
        """The SVG.

        Args:
            spoken: What it shows, for those who do not see it.
        """
        return svg(self.width, self.height, self._grid(), self._marks, spoken=spoken)

    def _grid(self) -> list[Element]:
        left, right, bottom = LEFT, self.width - RIGHT, self.height - BOTTOM
        drawn = []
        for value in self._y.ticks(max(3, int((self.height - TOP - BOTTOM) / 28))):
            down = self.down(value)
            drawn.append(tag("line", x1=left, x2=right, y1=down, y2=down, class_="grid"))
            drawn.append(tag("text", self._y.show(value), x=left - 7, y=down + 4, class_="tick", text_anchor="end"))
        for value in self._x.ticks(max(3, int((self.width - LEFT - RIGHT) / 58))):
            across = self.across(value)
            drawn.append(tag("line", x1=across, x2=across, y1=bottom, y2=bottom + 4, class_="axis"))
            drawn.append(tag("text", self._x.show(value), x=across, y=bottom + 17, class_="tick", text_anchor="middle"))
        drawn.append(tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
        drawn.append(tag("text", self._y.title, x=0, y=10, class_="title"))
        drawn.append(tag("text", self._x.title, x=right, y=self.height - 3, class_="title", text_anchor="end"))
        return drawn


def svg(width: float, height: float, *children: Child, spoken: str) -> Element:
    """An image of that many CSS pixels, which may be scaled down."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=spoken,
        style=f"max-width:{width:g}px",
    )


def figure(
    draw: Callable[[float], Element], caption: Child, *, wide: float = WIDE, class_: str | None = None
) -> Element:
    """A chart for wide and for narrow pages, with words below it.

    Args:
        draw: Makes it at a width.
        caption: What to see in it.
        wide: Width on wide pages.
        class_: Of the figure.
    """
    shown = [tag("div", draw(wide), class_="wide"), tag("div", draw(NARROW), class_="narrow")]
    return tag("figure", shown if wide != NARROW else draw(NARROW), tag("figcaption", caption), class_=class_)


def legend(*entries: tuple[str, str]) -> Element:
    """What colours mean: (class, words) each."""
    return tag(
        "p", [tag("span", tag("i", class_=f"key {class_}"), words) for class_, words in entries], class_="legend"
    )


# Files ----------------------------------------------------------------------------------------------------------------

STYLE = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
.paper { fill: #ffffff; }
.heading { font-size: 13px; font-weight: 600; fill: #16191d; }
.grid { stroke: #dfe3e8; }
.axis { stroke: #5f6873; stroke-opacity: 0.6; }
.tick, .title, .entry { fill: #5f6873; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.line.frontier { stroke: #5f6873; stroke-opacity: 0.55; }
.rule { stroke: #5f6873; stroke-dasharray: 3 3; }
.rule.limit { stroke: #b81424; }
.note { fill: #16191d; font-weight: 600; }
.note.chosen, .note.limit { fill: #b81424; }
.leader.chosen { stroke: #b81424; stroke-opacity: 0.5; }
.dot.float32, .dot.published { fill: #9a5b13; }
.dot.int8, .dot.own { fill: #1f5fa8; }
.dot.released { fill: #8a929b; }
.dot.over { fill-opacity: 0.3; }
.dot.chosen { fill: none; stroke: #b81424; stroke-width: 2.2; }
.interval { stroke: #1f5fa8; stroke-opacity: 0.6; }
"""


def write_svg(path: Path, charts: Sequence[Element], *, title: str, entries: Sequence[tuple[str, str]] = ()) -> None:
    """Write charts, side by side, into an SVG file that needs nothing beside it.

    Args:
        path: The file; written atomically.
        charts: As :meth:`Chart.element` gives them.
        title: Above them.
        entries: Of the legend: (class, words) each.

    Raises:
        OSError: If the file cannot be written.
    """
    sizes = [tuple(float(value) for value in str(chart.get("viewBox")).split()[2:]) for chart in charts]
    width = sum(across for across, _ in sizes) + GAP_BETWEEN * (len(charts) - 1) + 2 * GAP_BETWEEN
    height = HEADING + max(down for _, down in sizes) + GAP_BETWEEN
    left = float(GAP_BETWEEN)
    for chart, (across, down) in zip(charts, sizes, strict=True):
        for name, value in (("x", left), ("y", HEADING), ("width", across), ("height", down)):
            chart.set(name, f"{value:g}")
        chart.attrib.pop("style", None)
        left += across + GAP_BETWEEN
    drawn = tag(
        "svg",
        tag("title", title),
        tag("style", STYLE),
        tag("rect", width=width, height=height, class_="paper"),
        tag("text", printable(title), x=GAP_BETWEEN, y=18, class_="heading"),
        _entries(entries),
        list(charts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
    )
    write_atomically(path, ElementTree.tostring(drawn, encoding="utf-8", xml_declaration=True))


def _entries(entries: Sequence[tuple[str, str]]) -> list[Element]:
    drawn, left = [], GAP_BETWEEN + 4
    for class_, words in entries:
        drawn.append(tag("circle", cx=left, cy=33, r=4, class_=f"dot {class_}"))
        drawn.append(tag("text", words, x=left + 9, y=37, class_="entry"))
        left += 30 + LETTER_WIDTH * len(words)
    return drawn
