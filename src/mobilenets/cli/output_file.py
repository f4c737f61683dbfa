"""The type of options that name a file to write: what would fail at the end of the work is said before it begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from mobilenets.errors import MobileNetsError
from mobilenets.training.run_folder import is_of_run


class OutputFile(click.Path):
    """A file in a folder that is there. A file of its name is replaced, but for a Model that fit has trained.

    Args:
        endings: Those that its name may have; any, if there are none.
        folder: Whether a folder may stand in its place, for formats that are one.
        of_run: Whether it may be a Model that fit has trained.
        check: Raises if a file of that name would be taken for another thing than what is written.
    """

    def __init__(
        self,
        *endings: str,
        folder: bool = False,
        check: Callable[[Path], None] | None = None,
        of_run: bool = False,
    ) -> None:
        super().__init__(dir_okay=folder, path_type=Path)
        self._endings, self._check, self._of_run = endings, check, of_run

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, if it can be written to."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{path} cannot be written: there is no folder {path.parent}", param, ctx)
        if self._endings and path.suffix.lower() not in self._endings:
            self.fail(f"{path} must end in {' or '.join(self._endings)}", param, ctx)
        if not self._of_run and is_of_run(path):
            self.fail(f"{path} is the Model that fit has trained; name another file, or delete it first", param, ctx)
        if self._check is not None:
            try:
                self._check(path)
            except MobileNetsError as error:
                self.fail(str(error), param, ctx)
        return path
