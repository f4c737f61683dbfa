"""Words for the parts of a dataset: in names of folders and files, and in the split column of a table."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

PARTS = ("train", "validation", "test")

WORDS = dict.fromkeys(("train", "training", "trn", "learn", "learning", "trainval"), "train")
WORDS |= dict.fromkeys(("val", "valid", "validation", "validate", "validating"), "validation")
WORDS |= dict.fromkeys(("dev", "devel", "development"), "validation")
WORDS |= dict.fromkeys(("test", "tests", "testing", "tst", "holdout", "heldout"), "test")
WORDS |= dict.fromkeys(("eval", "evaluate", "evaluation"), "test")
"""Word → the part that it means. What might mean validation or test means test: it is then never trained on."""

SHORT_WORDS = {"tr": "train", "va": "validation", "vl": "validation", "te": "test", "ts": "test"}
"""What a split column says for short; in names of folders these letters say nothing."""
SHORT_WORDS |= {"publictest": "validation", "privatetest": "test"}
"""The two test sets of a competition: the public one may be looked at, as FER2013's is."""
GENERIC = frozenset(
    str.split(
        "set sets data dataset datasets image images img imgs photo photos picture pictures pic pics file files "
        "folder split part parts jpg jpeg png"
    )
)
"""Words that say nothing about which part is meant."""

_GLUED = re.compile(rf"(?P<word>{'|'.join(sorted(WORDS, key=len, reverse=True))})(set|data|dataset|images|imgs)")
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class PartName:
    """What a name says of a part.

    Attributes:
        part: ``train``, ``validation`` or ``test``.
        rest: Its other words, without numbers and words such as ``data``: ``seg`` of ``seg_train``.
    """

    part: str
    rest: str


def part_name(name: str) -> PartName | None:
    """The part that a name speaks of; None where it has no word for one, or words for different ones.

    Words count where they stand alone: ``restrained`` and ``contest`` say nothing.

    >>> part_name("asl_alphabet_train"), part_name("Test_Data")
    (PartName(part='train', rest='asl alphabet'), PartName(part='test', rest=''))
    >>> part_name("trainingSet2"), part_name("contest"), part_name("hold-out")
    (PartName(part='train', rest=''), None, PartName(part='test', rest=''))
    """
    tokens = tokens_of(name)
    found = {WORDS[token] for token in tokens if token in WORDS}
    if found == {"train", "validation"}:  # train_val: what validation images are drawn from
        found = {"train"}
    if len(found) != 1:
        return None
    rest = [token for token in tokens if token not in WORDS and token not in GENERIC and not token.isdecimal()]
    return PartName(found.pop(), " ".join(rest))


def tokens_of(name: str) -> list[str]:
    """The words and numbers of a name, in lower case.

    >>> tokens_of("MyTrainset_2017")
    ['my', 'train', 'set', '2017']
    """
    text = unicodedata.normalize("NFC", name)
    tokens = [token.lower() for token in _TOKEN.findall(_CAMEL.sub(" ", text))]
    found: list[str] = []
    for token in tokens:
        glued = _GLUED.fullmatch(token)
        if glued is not None:
            found += [glued["word"], glued[2]]
        elif found and found[-1] + token in ("holdout", "heldout"):
            found[-1] += token
        else:
            found.append(token)
    return found


def part_of_word(text: str) -> str | None:
    """The part that a word of a split column means; None where it is unknown.

    >>> part_of_word(" Test "), part_of_word("VALIDATE"), part_of_word("fold 3"), part_of_word("learn")
    ('test', 'validation', None, 'train')
    >>> part_of_word("tr"), part_of_word("te")
    ('train', 'test')
    """
    short = SHORT_WORDS.get(text.strip().casefold())
    if short is not None:
        return short
    named = part_name(text)
    return named.part if named is not None and not named.rest and not re.search(r"\d", text) else None
