"""What an installation does, or would do, with each file."""

from typing import Literal

import msgspec

from cachetune.install.parts import PartName

Action = Literal["create", "update", "replace", "remove", "keep", "none"]


class FileChange(msgspec.Struct, frozen=True):
    """One file: its ``path`` (with the prefix), the ``part`` that it belongs to, and what is done with it.

    ``update`` is for a file that an earlier version wrote, ``replace`` for one that was edited or is from elsewhere.
    ``reason`` says why a file is kept, or why nothing is to be done; ``diff`` is a unified diff of the change.
    """

    path: str
    part: PartName
    action: Action
    reason: str = ""
    diff: str = ""


class Installation(msgspec.Struct, frozen=True):
    """The document of ``install`` and ``uninstall``: the files, in order, and the commands to run next.

    ``prefix`` is the root of the file system, ``program`` the path that units start ("" if no file has it). With
    ``dry_run``, nothing was done.
    """

    verb: Literal["install", "uninstall"]
    prefix: str
    program: str
    dry_run: bool
    files: tuple[FileChange, ...]
    warnings: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    schema_version: int = 1

    @property
    def exit_code(self) -> int:
        """1 if a file was kept that should have been written or removed, else 0: options are there to be edited."""
        return int(not self.dry_run and any(each.action == "keep" and each.part != "options" for each in self.files))
