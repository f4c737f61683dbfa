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
    for look in (_joined_in_other_ways, _same_numbers, _look_alike, _copies, _no_classes):
        findings += look(dict.fromkeys(labels.values()))
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


def _joined_in_other_ways(labels: Mapping[str, object]) -> list[Finding]:
    """A warning for names whose words are the same, joined by blanks, hyphens or underscores."""
    groups = _groups({label: _joined(label) for label in labels})
    return [
        Finding(Kind.WARNING, f"the classes {_quoted(group)} differ in blanks, hyphens and underscores only")
        for group in groups.values()
        if len(group) > 1
    ]


def _joined(label: str) -> str:
    return " ".join(re.split(r"[\s_-]+", label))


def _same_numbers(labels: Mapping[str, object]) -> list[Finding]:
    """A warning for names that are the same number: spreadsheets and pandas write ``1`` as ``1.0`` or ``01``."""
    groups = _groups({label: str(float(label)) for label in labels if _NUMBER.fullmatch(label)})
    return [
        Finding(Kind.WARNING, f"the classes {_quoted(group)} are the same number, written in several ways")
        for group in groups.values()
        if len(group) > 1
    ]


_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0410\u0412\u0415\u041a\u041c\u041d\u041e"
    "\u0420\u0421\u0422\u0425\u03b1\u03bf\u03c1\u03bd\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d"
    "\u039f\u03a1\u03a4\u03a5\u03a7\u0131\u017f",
    "aeopcyxijsABEKMHOPCTXaopvABEZHIKMNOPTYXis",
)
"""Cyrillic and Greek letters, and others, that look like Latin ones."""
_ACCENTS = frozenset(map(chr, range(0x300, 0x370)))
"""Accents of Latin, Greek and Cyrillic letters; marks of other scripts make other letters."""


def _look_alike(labels: Mapping[str, object]) -> list[Finding]:
    """A warning for names that look the same: characters that cannot be seen, other widths, accents or alphabets."""
    groups = _groups({label: _looks(label) for label in labels})
    return [
        Finding(Kind.WARNING, f"the classes {_escaped(group)} look alike, and are written with other characters")
        for group in groups.values()
        if len({label.casefold() for label in group}) > 1 and len({_joined(label) for label in group}) > 1
    ]


def _looks(name: str) -> str:
    """What is left of a name without accents, characters that cannot be seen, and other alphabets' look-alikes.

    >>> _looks("c\u0430t\u200b"), _looks("\uff43\uff41\uff54"), _looks("caf\u00e9")
    ('cat', 'cat', 'cafe')
    """
    wide = unicodedata.normalize("NFKD", name)
    seen = (char for char in wide if unicodedata.category(char) != "Cf" and char not in _ACCENTS)
    return " ".join("".join(seen).translate(_LATIN).casefold().split())


NO_CLASS_NAMES = frozenset(
    {"unlabeled", "unlabelled", "unsorted", "untitled folder", "new folder", "neuer ordner", "nouveau dossier", "none"}
    | {"nueva carpeta", "nuova cartella", "tmp", "temp", "backup", "trash", "recycle bin", "unsup", "to sort", "todo"}
)
"""Names, in lower case, of folders that programs and people make for what is in no class, or not yet."""


def _no_classes(labels: Mapping[str, object]) -> list[Finding]:
    """A warning for names of what is in no class."""
    named = [label for label in labels if re.sub(r"[\s_-]+", " ", label).strip().casefold() in NO_CLASS_NAMES]
    numbered = [label for label in labels if re.fullmatch(r"new folder \(\d+\)", label.casefold())]
    return [
        Finding(Kind.WARNING, f"{label!r} is taken for a class; if it is none, say {told(exclude=(label,))}")
        for label in (*named, *numbered)
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


def _escaped(names: Iterable[str]) -> str:
    """Names in quotes, and with codes in place of characters where these tell them apart."""
    return " and ".join(name if (name := repr(one)) == ascii(one) else f"{name} ({one!a})" for one in names)


def ascii_quoted(name: str) -> str:
    """A name in quotes in which what cannot be seen can: combining accents and blanks at the ends.

    >>> print(ascii_quoted("cafe\\u0301"), ascii_quoted("caf\\u00e9"))
    'cafe\\u0301' 'café'
    """
    return "".join(f"\\u{ord(char):04x}" if unicodedata.combining(char) else char for char in repr(name))
