"""Hooks of the documentation's site: README, CONTRIBUTING and CHANGELOG become pages of it.

They stand at the root of the repository and link to pages as ``docs/training.md``; on the site everything stands in one
folder. What is no page of the site, such as a source file, is shown as its name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Files of the root, and what they are called on the site."""

_FENCE = re.compile(r"(?m)^(```console)[^\n]*$")
"""Commands that tests run have words behind the language, which Markdown does not know."""
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    from mkdocs.structure.files import File

    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between the repository's files into links between the site's pages."""
    source = page.file.src_uri
    folder = Path() if source in PAGES.values() else Path("docs") / Path(source).parent

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = Path(*_normalized((folder / target).parts))
        if str(path) in PAGES:
            name = PAGES[str(path)]
        elif path.parts[:1] == ("docs",) and path.suffix == ".md":
            name = str(Path(*path.parts[1:]))
        else:
            return text
        depth = len(Path(source).parent.parts)
        return f"[{text}]({'../' * depth}{name}{anchor})"

    return _LINK.sub(link, _FENCE.sub(r"\1", markdown))


def _normalized(parts: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept.pop()
        elif part != ".":
            kept.append(part)
    return kept
