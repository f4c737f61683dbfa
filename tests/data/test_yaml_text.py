"""The part of YAML that data sets are described in."""

from __future__ import annotations

import pytest

from mobilenets.data.yaml_text import read_yaml


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a: b", {"a": "b"}),
        ("---\na: 'it''s' # said\n", {"a": "it's"}),
        ('names: ["a, b", c,]', {"names": ["a, b", "c"]}),
        ("names:\n  [\n    'a', # one\n    'b',\n  ]\nnc: 2", {"names": ["a", "b"], "nc": "2"}),
        ("names:\n- a\n- b\nnc: 2", {"names": ["a", "b"], "nc": "2"}),
        ("names: {0: a, 1: 'b'}", {"names": {"0": "a", "1": "b"}}),
        ("names:\n  0: a\n  1: traffic light\n", {"names": {"0": "a", "1": "traffic light"}}),
        ("path: C:/data\nurl: http://x/#y", {"path": "C:/data", "url": "http://x/#y"}),
        ("download: |\n  import os\n\n  run(x, [1\n# said\nnc: 2", {"download": "", "nc": "2"}),
        ("roboflow:\n  workspace: x\n  version: 1\nnc: 2", {"roboflow": {"workspace": "x", "version": "1"}, "nc": "2"}),
        ("a:\nb: null", {"a": "", "b": ""}),
    ],
)
def test_what_is_read(text: str, found: dict[str, object]) -> None:
    assert read_yaml(text) == found


@pytest.mark.parametrize("text", ["- a", "names: [a, b", "just words", "a: b\n!!"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        read_yaml(text)
