"""Installing and uninstalling: first everything is looked at, then new files are staged, then all are put in place."""

import difflib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import msgspec

from cachetune.errors import InputError, MissingExtraError, UnwritableFileError
from cachetune.files import StagedFile, stage_file
from cachetune.install import host
from cachetune.install.directories import Directories
from cachetune.install.model import Action, FileChange, Installation
from cachetune.install.parts import PARTS, READERS, UNIT_DIR, Part, render
from cachetune.install.program import Program, check_hook, check_visible, open_to_others
from cachetune.install.signature import sign
from cachetune.install.target import Target, below, find_target

_ROOT = Path("/")
_AS_ROOT = "run it as root, or pass --prefix DIR to write below DIR"


class Place(msgspec.Struct, frozen=True):
    """Where to install: the ``root`` of the file system, an absolute path, and the directory of units there."""

    root: Path = _ROOT
    unit_dir: PurePosixPath = UNIT_DIR

    def target(self, part: Part) -> Target:
        """The file of a part. Raises InputError and UnreadableFileError."""
        return find_target(part.target(self.unit_dir), self.root)

    def shown(self, part: Part) -> str:
        """The path of the part's file, as the user knows it."""
        return str(below(self.root, part.target(self.unit_dir)))


class _Write(msgspec.Struct, frozen=True):
    """A change of one file, and the data to write."""

    change: FileChange
    target: Target
    data: bytes
    mode: int


def install(
    parts: tuple[Part, ...],
    program: Program,
    place: Place,
    *,
    mount_options: tuple[str, ...] = (),
    force: bool = False,
    dry_run: bool = False,
) -> Installation:
    """Write the files of the parts. Edited files, and files from elsewhere, are kept unless ``force`` is given.

    Raises InputError before anything is written if the host lacks what a part is for, or cannot start the program from
    where it is; UnwritableFileError.
    """
    for part in parts:
        _check(part, program, place)
    directories = Directories(place.root, [place.target(part) for part in PARTS])
    writes = [_write(part, render(part, program, mount_options), place, directories, force=force) for part in parts]
    if not dry_run:
        _carry_out(writes, directories)
    changes = tuple(each.change for each in writes)
    return Installation(
        verb="install",
        prefix=str(place.root),
        program=program.path,
        dry_run=dry_run,
        files=changes,
        warnings=tuple(_warnings(parts, program, place)),
        next=host.after_install(changes, place.root) if place.root == _ROOT else (),
    )


def uninstall(parts: tuple[Part, ...], place: Place, *, force: bool = False, dry_run: bool = False) -> Installation:
    """Remove the files of the parts that are as they were installed; with ``force``, edited ones, too.

    Files from elsewhere are not mentioned. Units that are enabled are kept. Raises InputError and
    UnwritableFileError.
    """
    found = [(part, target) for part in parts if (target := place.target(part)).signed]
    directories = Directories(place.root, [target for _, target in found])
    removals = [(_removal(part, target, place, force=force), target) for part, target in found]
    removals = [each for each in removals if each[0].part != "options" or not _needs_options(removals, place)]
    gone = [target for change, target in removals if change.action == "remove"]
    if not dry_run:
        for target in gone:
            try:
                target.path.unlink()
            except OSError as error:
                raise _unwritable(target.path, error) from None
        directories.remove_empty(gone)
    changes = tuple(change for change, _ in removals)
    return Installation(
        verb="uninstall",
        prefix=str(place.root),
        program="",
        dry_run=dry_run,
        files=changes,
        next=host.after_uninstall(changes) if place.root == _ROOT else (),
    )


def _check(part: Part, program: Program, place: Place) -> None:
    """Check that the host can use a part. Raises InputError."""
    if place.root == _ROOT and part.needs and not Path(part.needs).is_dir():
        raise InputError(
            f"{part.owner} is not installed on this host: there is no {part.needs}",
            hint=f"omit --{part.name}, or pass --prefix DIR to write below DIR",
        )
    if part.is_service:
        check_visible(program, part.template)
    if part.name == "hook":
        check_hook(program, place.root)


def _write(part: Part, text: str, place: Place, directories: Directories, *, force: bool) -> _Write:
    target, body, shown = place.target(part), text.encode(), place.shown(part)
    action: Action = "update" if target.exists else "create"
    reason = ""
    if target.data is not None and target.text == body:
        action = "none"
    elif (target.foreign and part.settings) or (target.foreign and not (force and target.replaceable)):
        action, reason = "keep", target.foreign
    elif target.foreign:
        action, reason = "replace", target.foreign
    elif part.is_unit and not target.exists and (other := _provider(part, body, place)):
        action, reason = "none", f"{other} is the same"
    made = max(directories.made_for(target), target.signed.directories if target.signed else 0)
    diff = _diff(target.data, body, shown) if action in ("create", "update", "replace", "keep") else ""
    change = FileChange(path=shown, part=part.name, action=action, reason=reason, diff=diff)
    return _Write(change, target, sign(body, made), part.mode)


def _provider(part: Part, body: bytes, place: Place) -> str:
    """The same unit in a directory of packages, "" without one."""
    if place.unit_dir != UNIT_DIR:
        return ""
    for directory in host.PACKAGED_UNITS:
        other = find_target(directory / part.template, place.root)
        if other.signed and not other.signed.edited and other.signed.body == body:
            return str(other.path)
    return ""


def _diff(old: bytes | None, body: bytes, path: str) -> str:
    before = (old or b"").decode(errors="replace")
    lines = difflib.unified_diff(
        _unsigned(before), body.decode().splitlines(), path if old is not None else "/dev/null", path, lineterm=""
    )
    return "\n".join(lines)


def _unsigned(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("# cachetune-install ")]


def _removal(part: Part, target: Target, place: Place, *, force: bool) -> FileChange:
    action: Action = "remove"
    reason = ""
    if part.is_unit and (link := host.link_that_needs(part.template, place.root)):
        action, reason = "keep", f"it is enabled ({link}); first run: {host.disable(part.template)}"
    elif target.foreign and not force:
        action, reason = "keep", target.foreign
    return FileChange(path=place.shown(part), part=part.name, action=action, reason=reason)


def _needs_options(removals: list[tuple[FileChange, Target]], place: Place) -> bool:
    """Whether a file that reads the options stays."""
    removed = {change.part for change, _ in removals if change.action == "remove"}
    return any(part.name in READERS - removed and place.target(part).exists for part in PARTS)


def _carry_out(writes: list[_Write], directories: Directories) -> None:
    """Make the directories, stage all files, then put them in place. Raises UnwritableFileError."""
    staged: list[StagedFile] = []
    path = Path()
    try:
        for each in writes:
            if each.change.action in ("create", "update", "replace"):
                path = each.target.path
                directories.make_for(each.target)
                staged.append(stage_file(path, each.data, mode=each.mode))
                staged[-1].part.chmod(each.mode)  # whatever the umask is
        for file in staged:
            path = file.path
            file.commit()
    except OSError as error:
        for file in staged:
            file.discard()
        directories.undo()
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UnwritableFileError:
    hint = _AS_ROOT if isinstance(error, PermissionError) and os.geteuid() else ""
    return UnwritableFileError(path, error.strerror, hint=hint)


def _warnings(parts: tuple[Part, ...], program: Program, place: Place) -> Iterator[str]:
    services = [part.template for part in parts if part.is_service]
    if place.root == _ROOT and services and (path := open_to_others(program)):
        yield f"other users than root can change {path}, which {services[0]} starts"
    if program.is_this and any(part.name == "exporter" for part in parts) and not find_spec("prometheus_client"):
        missing = MissingExtraError("metrics", "prometheus-client", "the exporter")
        yield f"{missing}; {missing.hint}"
    needing = [part.template for part in parts if part.name in ("agent", "recorder")]
    if needing and not any(part.name == "mount" for part in parts) and not host.mounts_resctrl(place.root):
        yield f"{needing[0]} requires a mount of resctrl, which neither a unit nor /etc/fstab has: add --mount"
