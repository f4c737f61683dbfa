"""What the images of a run were understood as: parts, classes, what was left out, and copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobilenets.data.findings import Finding, Kind
from mobilenets.data.parts import PARTS
from mobilenets.reports.pages.markup import Child, Element, html_table, name, scrolling, section, tag

MOST_ROWS = 60
"""Classes that are listed; of more, those with the fewest training images."""
TITLES = {Kind.WARNING: "Warning", Kind.LEFT_OUT: "Left out", Kind.NOTE: "Note"}


@dataclass(frozen=True)
class DataFacts:
    """What ``metrics.json`` says of the images of a run.

    Attributes:
        layout: What the source looks like.
        parts: Name, number of images and place of each part; the place is None where the part was drawn.
        classes: Class → its images in training, validation and test.
        findings: What the owner of the images should know of.
        copied_test_images: Test images that are copies of training images.
    """

    layout: str
    parts: tuple[tuple[str, int, str | None], ...]
    classes: Mapping[str, tuple[int, ...]]
    findings: tuple[Finding, ...]
    copied_test_images: int

    @staticmethod
    def read(data: Mapping[str, Any]) -> DataFacts:
        """The facts of a JSON object.

        Raises:
            KeyError, TypeError, ValueError: If it is damaged.
        """
        parts = [data["parts"][part] for part in PARTS]
        return DataFacts(
            layout=str(data["layout"]),
            parts=tuple(
                (part, int(facts["images"]), None if facts["drawn"] else str(facts["from"] or ""))
                for part, facts in zip(PARTS, parts, strict=True)
            ),
            classes={str(label): tuple(int(one["classes"][label]) for one in parts) for label in data["labels"]},
            findings=tuple(
                Finding(Kind(one["kind"]), str(one["message"]), int(one["images"]), tuple(map(str, one["examples"])))
                for one in data["findings"]
            ),
            copied_test_images=sum(
                int(leak["images"])
                for leak in data["duplicates"]["leaks"]
                if (leak["part"], leak["other"]) == ("test", "train")
            ),
        )


def data_section(facts: DataFacts, source: str, *, several_labels: bool = False) -> Element:
    """The section.

    Args:
        facts: What it is about.
        source: Where the images came from; their names are shown from there on.
        several_labels: Whether an image may have several labels, which are not called classes then.
    """
    warnings = [finding for finding in facts.findings if finding.kind is Kind.WARNING]
    others = [finding for finding in facts.findings if finding.kind is not Kind.WARNING]
    return section(
        "data",
        "Data",
        _list(warnings, source),
        tag("p", f"Read as {facts.layout}."),
        html_table("part", "images", "from", rows=[_part(*one) for one in facts.parts], caption="Images of each part"),
        _list(others, source),
        _classes(facts.classes, ("label", "labels") if several_labels else ("class", "classes")),
    )


def leak_warning(facts: DataFacts | None, tested: int) -> Element | None:
    """What must be said beside the accuracy where test images were trained on; None where none were."""
    if facts is None or not facts.copied_test_images:
        return None
    copies = "is a copy" if facts.copied_test_images == 1 else "are copies"
    return tag(
        "p",
        tag("strong", "Warning: "),
        f"{facts.copied_test_images:,} of {tested:,} test images {copies} of training images: "
        "how right the Model is on new images cannot be told by them.",
        class_="warning",
    )


def _part(part: str, images: int, place: str | None) -> list[str | Element]:
    return [
        part,
        f"{images:,}",
        "drawn, a tenth of each class" if place is None and part != "train" else name(place or ""),
    ]


def _list(findings: Sequence[Finding], source: str) -> Element | None:
    if not findings:
        return None
    return tag("ul", [_item(one, source) for one in findings])


def _item(finding: Finding, source: str) -> Element:
    title = tag("strong", f"{TITLES[finding.kind]}: ")
    kind = "warning" if finding.kind is Kind.WARNING else None
    return tag("li", title, name(_inside(finding.message, source)), _examples(finding, source), class_=kind)


def _inside(text: str, source: str) -> str:
    """A text with paths from the source on."""
    return text.replace(f"{source.rstrip('/')}/", "")


def _examples(finding: Finding, source: str) -> Element | None:
    if not finding.examples:
        return None
    shown = [_inside(example, source) for example in finding.examples]
    more = finding.images - len(shown)
    rows = [tag("li", name(example, class_="file")) for example in shown]
    if more > 0:
        rows.append(tag("li", f"and {more:,} more"))
    return tag("details", tag("summary", "which"), tag("ul", rows))


def _classes(classes: Mapping[str, tuple[int, ...]], called: tuple[str, str]) -> Element:
    one, many = called
    listed = sorted(classes.items(), key=lambda item: (item[1][0], item[0]))[:MOST_ROWS]
    title = f"Images of each {one}, fewest first"
    if len(listed) < len(classes):
        title = f"Images of the {len(listed)} {many} of {len(classes):,} with the fewest training images"
    rows: list[list[Child]] = [[name(label), *(f"{count:,}" for count in counts)] for label, counts in listed]
    table = html_table(one, *PARTS, rows=rows, caption=title)
    return tag("div", tag("h3", title), scrolling(table, title))
