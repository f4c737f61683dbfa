"""Which folders hold the parts of a dataset: found by the words in their names, and by what lies in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.parts import PARTS, PartName, part_name, tokens_of
from mobilenets.data.reading import told
from mobilenets.data.tree import Folder
from mobilenets.errors import DataError

UNLABELED_WORDS = frozenset(
    str.split(
        "pred predict prediction predictions unlabeled unlabelled unlabel unsup unsupervised unknown extra sample "
        "samples submission"
    )
)
"""Words of folders whose images have no class, beside parts that have."""


@dataclass(frozen=True)
class PartFolders:
    """The folders in a folder, as parts of a dataset.

    Attributes:
        parts: Part → its folder; empty where the folders are no parts.
        others: Folders beside them that hold images too.
        empty: Folders that are called like parts and hold nothing.
        findings: What could have been meant in another way.
    """

    parts: Mapping[str, Folder]
    others: tuple[Folder, ...] = ()
    empty: tuple[Folder, ...] = ()
    findings: tuple[Finding, ...] = ()


def find_parts(node: Folder, masks: Sequence[Folder] = ()) -> PartFolders:
    """Find the parts among the folders in a folder.

    They are parts if one is for training, or one is for validation and another for testing, and no folder beside them
    looks like another class.

    Args:
        node: The folder.
        masks: Folders in it that hold masks, and do not count.

    Raises:
        DataError: If two folders are called like the same part, or it cannot be told whether folders are parts or
            classes.
    """
    folders = [folder for folder in node.folders if folder not in masks]
    named = [(folder, name) for folder in folders if (name := part_name(folder.name)) is not None]
    usable = [(folder, name) for folder, name in named if folder.count or folder.label_files]
    parts = _by_part(node, usable)
    named_folders = [folder for folder, _ in usable]
    others = tuple(folder for folder in folders if folder.count and folder not in named_folders)
    if "train" not in parts and not {"validation", "test"} <= set(parts):
        _refuse_lone_part(node, usable, others)
        return PartFolders({})
    if not _belong_together(parts):
        return PartFolders({})
    if not any(folder.filled or folder.label_files for folder, _ in parts.values()):
        return _flat(node, parts, others)
    classlike = [folder for folder in others if UNLABELED_WORDS.isdisjoint(tokens_of(folder.name))]
    if len(parts) == 1 and classlike:
        raise _ambiguous(node, [folder for folder, _ in parts.values()], classlike)
    chosen = {part: folder for part, (folder, _) in parts.items()}
    unused = tuple(folder for folder in named_folders if folder.count and folder not in chosen.values())
    empty = tuple(folder for folder, _ in named if folder not in named_folders)
    return PartFolders(chosen, (*others, *unused), empty)


Named = tuple[Folder, PartName]


def _by_part(node: Folder, usable: Sequence[Named]) -> dict[str, Named]:
    """The folder of every part. Of several, one whose name has no other words; two of these are an error."""
    found: dict[str, Named] = {}
    for part in PARTS:
        candidates = [(folder, name) for folder, name in usable if name.part == part]
        plain = [one for one in candidates if not one[1].rest]
        candidates = plain or candidates
        if len(candidates) > 1 and any(folder.filled for folder, _ in candidates):
            names = [folder.name for folder, _ in candidates]
            raise DataError(
                f"{node.path} holds both {names[0]} and {names[1]}; keep one, or say which is meant with "
                f"{told(parts={part: names[0]})} (and the other parts), or {told(exclude=(names[1],))}"
            )
        if candidates:
            found[part] = candidates[0]
    return found


def _belong_together(parts: Mapping[str, Named]) -> bool:
    """Whether folders are called alike but for the part, or hold folders that are called alike."""
    rests = {name.rest for _, name in parts.values()} - {""}
    if len(rests) <= 1 and (len(parts) > 1 or not rests):
        return True
    inner = [{inner.name for inner in folder.filled} for folder, _ in parts.values()]
    return any(inner) if len(parts) == 1 else bool(set.intersection(*inner))


def _flat(node: Folder, parts: Mapping[str, Named], others: tuple[Folder, ...]) -> PartFolders:
    """Folders that are called like parts, none of which holds class folders."""
    folders = [folder for folder, _ in parts.values()]
    if not others:
        return PartFolders({part: folder for part, (folder, _) in parts.items()})
    if len(parts) == 1 or all(name.rest for _, name in parts.values()):
        names = listed([folder.name for folder in folders])
        message = f"{names} is taken for a class, as it holds images like the folders beside it and no class folders"
        return PartFolders({}, findings=(Finding(Kind.NOTE, message),))
    raise _ambiguous(node, folders, others)


def _refuse_lone_part(node: Folder, usable: Sequence[Named], others: Sequence[Folder]) -> None:
    plain = [folder for folder, name in usable if not name.rest]
    if plain and len(others) > 1:
        raise _ambiguous(node, plain, others)


def _ambiguous(node: Folder, parts: Sequence[Folder], others: Sequence[Folder]) -> DataError:
    names, beside = [folder.name for folder in parts], [folder.name for folder in others]
    return DataError(
        f"{node.path} holds {listed(names)} beside {listed(beside)}: are these parts of the data, or classes? Say "
        f"{told(find_parts=False)} if all are classes, {told(exclude=(names[0],))} to leave a folder out, or "
        f"{told(parts={'train': 'FOLDER', 'test': names[-1]})} to name the parts"
    )
