"""Packages of npm that tests and benchmarks read where they are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def npm_package(name: str) -> Path:
    """Folder of a package: in ``node_modules`` of the repository, or of a folder in ``NODE_PATH``.

    The test is skipped where it is not installed.
    """
    folders = [ROOT / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
    for folder in folders:
        if (folder / name / "package.json").is_file():
            return folder / name
    pytest.skip(f"the npm package {name} is not installed (npm install {name}; or set NODE_PATH)")
