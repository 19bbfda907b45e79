"""A file of cachetune on the managed host: its content, and putting another in its place as a whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_DEFAULT = "/etc/cachetune/guests.d"
_LONGEST = 255  # bytes of a file's name
_MODE = 0o644  # every user may read it, as the file that 'cachetune apply --save' writes


class ManagedFile:
    """A file that a module writes, with a backup if the parameter ``backup`` says so. ``before`` is its content."""

    def __init__(self, module: AnsibleModule, path: Path) -> None:
        self._module, self.path = module, path
        self.before = self._content()

    def read_again(self) -> str:
        """What is in the file now; empty without a file."""
        return self._content()

    def difference(self, after: str) -> dict[str, str]:
        """The change of the file for ``--diff``."""
        path = str(self.path)
        return {"before_header": path, "after_header": path, "before": self.before, "after": after}

    def stage(self, text: str, directory: Path | None = None) -> str:
        """Write the new content beside the file, or in ``directory``; the path of what was written.

        So what cannot be written is known before the host changes.
        """
        directory = directory or self.path.parent
        try:
            directory.mkdir(parents=True, exist_ok=True)
            fd, part = tempfile.mkstemp(prefix=".ansible-", dir=directory)
            self._module.add_cleanup_file(part)
            with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            Path(part).chmod(_MODE)
        except OSError as error:
            self._module.fail_json(msg=f"cannot write to {directory}: {error.strerror}; nothing was changed")
        return part

    def commit(self, part: str) -> str:
        """Put what was staged in place. The path of the backup, "" without one."""
        backup = self._backup()
        self._module.atomic_move(part, str(self.path))
        return backup

    def remove(self) -> str:
        """Remove the file. The path of the backup, "" without one."""
        backup = self._backup()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            self._module.fail_json(msg=f"cannot remove {self.path}: {error.strerror}; nothing was changed")
        return backup

    def _backup(self) -> str:
        if not (self._module.params["backup"] and self.path.exists()):
            return ""
        return str(self._module.backup_local(str(self.path)))

    def _content(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            self._module.fail_json(msg=f"cannot read {self.path}: {error.strerror}")
            raise


def tuning_file(module: AnsibleModule, guest: str) -> ManagedFile:
    """The tuning file of a guest, in the directory that the parameter ``guests_d`` or the environment names.

    Fails the task for a guest whose name no file can have.
    """
    directory = module.params["guests_d"] or os.environ.get("CACHETUNE_GUESTS_D") or _DEFAULT
    name = f"{guest}.xml"
    if not guest or guest.startswith(".") or "/" in guest or "\0" in guest or len(os.fsencode(name)) > _LONGEST:
        module.fail_json(msg=f"guest {guest!r} cannot have a tuning file: no file can have this name")
    return ManagedFile(module, Path(directory) / name)


def guest_in(xml: str) -> str:
    """The name of the guest in domain XML that the command has validated; "" for a lone <cputune>."""
    root = ElementTree.fromstring(xml)  # noqa: S314 - the command refuses document types
    return (root.findtext("name") or "").strip() if root.tag == "domain" else ""
