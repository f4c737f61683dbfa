"""Label lists as people and programs write them give one name a class, in the order of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilenets.errors import FormatError
from mobilenets.formats.labels import parse_labels, read_labels

LISTS = {
    "lines": "cat\ndog\nowl\n",
    "blank last lines": "cat\r\ndog\r\nowl\r\n\r\n  \n",
    "numbered": "0 cat\n1 dog\n2 owl\n",
    "numbered in columns": "0  cat\n1  dog\n2  owl",
    "numbered with colons": "0:cat\n1: dog\n2 : owl\n",
    "numbered from one": "1 cat\n2 dog\n3 owl\n",
    "numbered out of order": "2 owl\n0 cat\n1 dog\n",
    "CSV with a header": "id,name\n2,owl\n0,cat\n1,dog\n",
    "objects with numbers": '[{"id": 2, "name": "owl"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]',
    "COCO's categories": '[{"id": 3, "name": "owl"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]',
    "YAML, inline": "train: images\nnc: 3\nnames: [cat, 'dog', owl]\n",
    "YAML, a list": "names:\n  - cat\n  - dog\n  - owl\nnc: 3\n",
    "YAML, numbered": "path: x\nnames:\n  0: cat\n  2: owl\n  1: 'dog'\n",
    "CSV": "0,cat\n1,dog\n2,owl\n",
    "JSON list": '["cat", "dog", "owl"]',
    "labels by number": '{"0": "cat", "2": "owl", "1": "dog"}',
    "numbers by label": '{"dog": 1, "cat": 0, "owl": 2}',
    "Keras's index": '{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "owl"]}',
    "Hugging Face": '{"model_type": "mobilenet_v2", "id2label": {"0": "cat", "1": "dog", "2": "owl"}}',
    "label map": "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  name: \"dog\"\n  id: 2\n}\n"
    "item { id: 3 display_name: 'owl' }\n",
    "label map with two names": "item { name: '/m/01' id: 1 display_name: 'cat' } item { id: 2 name: 'dog' }"
    " item { id: 3 name: 'owl' }",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_understood(kind: str) -> None:
    assert parse_labels(LISTS[kind], "labels") == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("0\n1\n2\n", ("0", "1", "2")),
        ("7 up\ncola\n", ("7 up", "cola")),
        ("3 horses\n4 horses\n", ("3 horses", "4 horses")),
        ("cat\n\ndog\n", ("cat", "", "dog")),
        ("[unknown]\ncat\n", ("[unknown]", "cat")),
        ("item { id: 1 name: 'a' } item { id: 3 name: 'b' }", ("a", "2", "b")),
    ],
)
def test_what_only_looks_numbered_stays_as_it_is(text: str, labels: tuple[str, ...]) -> None:
    assert parse_labels(text, "labels") == labels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"cat": "dog"}', "neither labels by number nor numbers by label"),
        ('{"0": "a", "900000": "b"}', "numbers 2 labels from 0 to 900000"),
        ("[1, [], 2]", "where a label was expected"),
        ("item { id: 1 }", "lacks its id or its name"),
    ],
)
def test_lists_that_leave_classes_out_are_refused(text: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_labels(text, "labels")


def test_files_are_utf_8(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffKätzchen\nHund\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("Kätzchen", "Hund")
    (tmp_path / "labels.txt").write_bytes("Kätzchen\nHund\n".encode("utf-16"))
    assert read_labels(tmp_path / "labels.txt") == ("Kätzchen", "Hund")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not UTF-8 text"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_a_list_without_labels_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(content, encoding="utf-8")
    with pytest.raises(FormatError, match=r"labels.txt holds no labels"):
        read_labels(tmp_path / "labels.txt")
