"""Names of classes: one name for what only looks like two."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

from mobilenets.data.findings import Finding, Kind
from mobilenets.data.reading import Reading, told
from mobilenets.errors import DataError


def normalized_name(name: str) -> str:
    """A name in Unicode's composed form, without blanks at its ends or doubled inside.

    >>> normalized_name(" cafe\\u0301  au lait ") == "caf\\u00e9 au lait"
    True
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def label_of(name: str) -> str:
    """What a folder's name becomes as a label; a name that normalizing would empty stays as it is."""
    if not name.isprintable():  # such as a line break, which is refused and not mended
        return name
    return normalized_name(name) or name


def unify(names: Iterable[str], reading: Reading) -> tuple[dict[str, str], list[Finding]]:
    """The label of every name, and what was merged.

    Names are merged that differ in blanks or in Unicode composition; where upper and lower case differ, single
    letters stay apart and other names are refused unless the reading says what to do.

    Args:
        names: Names of classes, as folders or tables give them.
        reading: What to do with letter case.

    Raises:
        DataError: If classes differ in upper and lower case only.
    """
    labels = {name: label_of(name) for name in dict.fromkeys(names)}
    findings = [
        Finding(
            Kind.NOTE, f"{_quoted(group)} are one class, {label!r}: they differ in blanks or accents' encoding only"
        )
        for label, group in _groups(labels).items()
        if len(group) > 1
    ]
    findings += _joined_in_other_ways(dict.fromkeys(labels.values()))
    findings += _copies(dict.fromkeys(labels.values()))
    by_case = _groups({label: label.casefold() for label in dict.fromkeys(labels.values())})
    alike = {key: group for key, group in by_case.items() if len(group) > 1}
    if not alike or reading.letter_case == "keep":
        return labels, findings
    if reading.letter_case == "merge":
        chosen = {label: group[0] for group in alike.values() for label in group}
        findings += [Finding(Kind.NOTE, f"{_quoted(group)} are one class, {group[0]!r}") for group in alike.values()]
        return {name: chosen.get(label, label) for name, label in labels.items()}, findings
    words = [group for key, group in alike.items() if len(key) > 1]
    if words:
        raise DataError(
            f"the classes {_quoted(words[0])} differ in upper and lower case only: "
            f"say {told(letter_case='merge')} if they are one class, or {told(letter_case='keep')} if they are not"
        )
    return labels, findings


def _joined_in_other_ways(labels: Iterable[str]) -> list[Finding]:
    """A warning for names whose words are the same, joined by blanks, hyphens or underscores."""
    groups = _groups({label: " ".join(re.split(r"[\s_-]+", label)) for label in labels})
    return [
        Finding(Kind.WARNING, f"the classes {_quoted(group)} differ in blanks, hyphens and underscores only")
        for group in groups.values()
        if len(group) > 1
    ]


_COPY = re.compile(r"(?P<name>.+?)[\s_-]*(\(\d+\)|\b(copy|copie|kopie|copia)\b[\s_-]*(\(?\d+\)?)?)", re.IGNORECASE)
"""What systems call a copy of a folder."""


def _copies(labels: Mapping[str, object]) -> list[Finding]:
    """A warning for names that systems give to a copy of another class's folder."""
    matches = {label: match["name"] for label in labels if (match := _COPY.fullmatch(label))}
    return [
        Finding(
            Kind.WARNING,
            f"{label!r} is called like a copy of the class {name!r}; if it is one, move its images there or say "
            f"{told(exclude=(label,))}",
        )
        for label, name in matches.items()
        if name in labels
    ]


def _groups(values: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, value in values.items():
        groups[value].append(name)
    return groups


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(map(ascii_quoted, names))


def ascii_quoted(name: str) -> str:
    """A name in quotes in which what cannot be seen can: combining accents and blanks at the ends.

    >>> print(ascii_quoted("cafe\\u0301"), ascii_quoted("caf\\u00e9"))
    'cafe\\u0301' 'café'
    """
    return "".join(f"\\u{ord(char):04x}" if unicodedata.combining(char) else char for char in repr(name))
