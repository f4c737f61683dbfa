"""Files and folders that operating systems, network storage and programs leave beside images."""

from __future__ import annotations

SYSTEM_FOLDERS = frozenset(
    {
        # Synology and QNAP network storage
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        # Windows
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        # Unix file systems and macOS archives
        "lost+found",
        "__macosx",
        # programs
        "__pycache__",
    }
)
"""Names of folders, in lower case."""
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Names of files, in lower case."""


def is_system_name(name: str) -> bool:
    """Whether a file or folder is no work of the person whose images lie beside it.

    Hidden names are: ``.thumbnails``, ``.ipynb_checkpoints``, ``._photo.jpg``, ``.@__thumb``.

    >>> [name for name in ("@eaDir", "._1.jpg", "cat", "lost+found", "@home") if is_system_name(name)]
    ['@eaDir', '._1.jpg', 'lost+found']
    """
    lower = name.lower()
    return name.startswith(".") or lower in SYSTEM_FOLDERS or lower in SYSTEM_FILES
