"""The directories that installed files need: those that are made for them are removed with the last of them."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from cachetune.install.target import Target


class Directories:
    """The directories below ``root``, given the targets of all parts: their signatures say which were made."""

    def __init__(self, root: Path, targets: Collection[Target]) -> None:
        self._root = root.resolve()
        self._made = {path for target in targets for path in self._signed(target)}
        self._new: list[Path] = []

    def made_for(self, target: Target) -> int:
        """How many of the innermost directories of a file are made for it: missing now, or made earlier."""
        number = 0
        for path in self._parents(target):
            if path.exists() and path not in self._made:
                break
            number += 1
        return number

    def make_for(self, target: Target) -> None:
        """Make the missing directories of a file. Raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True)
        for path in reversed([path for path in self._parents(target) if not path.exists()]):
            path.mkdir()
            path.chmod(0o755)  # whatever the umask is
            self._new.append(path)

    def undo(self) -> None:
        """Remove the directories that were made now and are empty."""
        self._remove(self._new)

    def remove_empty(self, removed: Collection[Target]) -> None:
        """Remove the directories that were made for the removed files and are empty now."""
        self._remove({path for target in removed for path in self._signed(target)})

    def _signed(self, target: Target) -> Iterator[Path]:
        number = target.signed.directories if target.signed else 0
        yield from list(self._parents(target))[:number]

    def _parents(self, target: Target) -> Iterator[Path]:
        """The directories of a file, the innermost first, without the root."""
        yield from (path for path in target.path.parents if path != self._root and path.is_relative_to(self._root))

    def _remove(self, paths: Collection[Path]) -> None:
        for path in sorted(paths, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # it is not empty, or was removed by another program
                path.rmdir()
