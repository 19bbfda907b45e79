"""Search directories for ``*.xml``, or for files with another suffix.

Hidden files and directories are left out, symbolic links to directories are not followed, and a file that was named or
found before, under any name, is not found again.
"""

# importing pathlib would add a tenth to the start of the command
# ruff: noqa: PTH112, PTH116, PTH118

import os
from collections.abc import Collection, Iterator


class Search:
    """The ``files`` to check, in order: those that are named, and those ``found`` in each directory that is named.

    ``missing`` has each directory that could not be searched or had no file to check, and the reason.
    """

    def __init__(self, names: Collection[str], suffix: str = ".xml") -> None:
        self._suffix = suffix
        self.files: list[str] = []
        self.found: list[tuple[str, list[str]]] = []
        self.missing: list[tuple[str, str]] = []
        self._seen: set[tuple[int, int]] = set()
        directories = {name for name in names if name != "-" and os.path.isdir(name)}
        if directories:
            self._seen.update(identity for name in names if (identity := _identity(name)))
        for name in names:
            if name in directories:
                self._search(name)
            elif name != "-" or name not in self.files:  # standard input can be read once
                self.files.append(name)

    def leave_out(self, others: Collection[str]) -> None:
        """Remove files that are not domain XML; a directory in which only such files were found is missing."""
        self.files = [file for file in self.files if file not in others]
        for directory, files in self.found:
            if files and all(file in others for file in files):
                self.missing.append((directory, f"no domain XML in {directory}"))

    def _search(self, directory: str) -> None:
        every = list(self._walk(directory))
        found = [path for path in every if self._is_new(path)]
        self.found.append((directory, found))
        self.files += found
        if not every:
            self.missing.append((directory, f"no *{self._suffix} files in {directory}"))

    def _walk(self, directory: str) -> Iterator[str]:
        for parent, directories, names in os.walk(directory, onerror=self._note):
            directories[:] = sorted(name for name in directories if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(self._suffix) and not name.startswith("."):
                    yield os.path.join(parent, name)

    def _note(self, error: OSError) -> None:
        self.missing.append((str(error.filename), f"cannot read {error.filename}: {error.strerror}"))

    def _is_new(self, path: str) -> bool:
        identity = _identity(path)
        if identity in self._seen:
            return False
        if identity:
            self._seen.add(identity)
        return True


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file, None for one that does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
