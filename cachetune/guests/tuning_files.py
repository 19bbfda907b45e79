"""The operator's directory with one file per guest: ``NAME.xml``, domain XML or a tuning file, for the guest NAME.

Guests choose their names, so a name is untrusted: a name that would lead out of the directory, or to a hidden file, has
no file. Reading is bounded (``domain.read_file``).
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from cachetune.domain import Head, Loaded, head_of, load, read_file
from cachetune.domain.model import Domain
from cachetune.errors import InputError, UnreadableFileError, UnwritableFileError, WrongGuestError
from cachetune.files import StagedFile, stage_file
from cachetune.findings import first_error

GUESTS_D = Path("/etc/cachetune/guests.d")

_SUFFIX = ".xml"
_MODE = 0o644
_LONGEST = 255  # bytes in the name of a file (NAME_MAX)
_COARSE_SECONDS = 2.0


class TuningFile(msgspec.Struct, frozen=True):
    """One file: its domain, or None and the ``problem`` with it in one line."""

    domain: Domain | None
    problem: str = ""


TuningFiles = dict[str, TuningFile]

FileState = tuple[int, ...]
"""What changes with a file, or with the link that leads to it; () without a file."""


class _Known(NamedTuple):
    """A file that was read, its state then, and the guest's vCPUs."""

    state: FileState
    vcpus: int | None
    file: TuningFile


class TuningFilesReader:
    """Reads all tuning files again and again; an untouched file is not read again.

    The inode and its change time show that, which no program can set. The clock behind the change time is coarse, so a
    file that had been changed less than ``_COARSE_SECONDS`` before it was read is read again. ``clock`` is in seconds
    since 1970.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._clock = directory, clock
        self._known: dict[str, _Known] = {}

    def read(self, vcpus: Mapping[str, int]) -> TuningFiles | None:
        """Every file by the name of its guest; None if there is no such directory.

        ``vcpus`` is how many vCPUs each guest can have, where that is known. Raises InputError if the directory cannot
        be read.
        """
        known, self._known = self._known, {}
        names = names_in(self._directory)
        if names is None:
            return None
        files = {name: self._file(name, vcpus.get(name), known) for name in names}
        return {name: file for name, file in files.items() if file is not None}

    def _file(self, name: str, vcpus: int | None, known: Mapping[str, _Known]) -> TuningFile | None:
        state, old = self._state(name), known.get(name)
        if old and state and (old.state, old.vcpus) == (state, vcpus):
            self._known[name] = old
            return old.file
        file = _file_of(name, self._directory, vcpus)
        if file and state and state == self._state(name):
            self._known[name] = _Known(state, vcpus, file)
        return file

    def _state(self, name: str) -> FileState | None:
        return state_of_file(self._directory / f"{name}{_SUFFIX}", self._clock())


def state_of_file(path: Path, now: float) -> FileState | None:
    """The state of a file, ``now`` in seconds since 1970; None if it proves nothing: the file changed a moment ago."""
    try:
        about = os.stat(path)  # noqa: PTH116 - of the file, not of a link to it
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode) or now - about.st_ctime < _COARSE_SECONDS:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def read_tuning_files(directory: Path, vcpus: Mapping[str, int]) -> TuningFiles | None:
    """Every file by the name of its guest, as ``TuningFilesReader.read`` returns it."""
    return TuningFilesReader(directory).read(vcpus)


def tuning_of(name: str, directory: Path, vcpus: int | None = None) -> Loaded | None:
    """Load the file of the guest ``name``; None if the directory has none.

    ``vcpus`` is the guest's maximum, which a tuning file does not contain. The domain has the guest's name but no id,
    so that its groups keep their names across restarts. XML with errors gives findings and no domain.

    Raises UnreadableFileError, and WrongGuestError for domain XML of another guest.
    """
    path = path_for(name, directory)
    if path is None or not _is_there(path):
        return None
    loaded = load(read_file(str(path)), str(path), vcpus=vcpus)
    if loaded.domain is None:
        return loaded
    if loaded.domain.name not in ("", name):
        hint = f"name the file {loaded.domain.name}{_SUFFIX}, or keep only <cputune> in it"
        raise WrongGuestError(str(path), loaded.domain.name, name, hint=hint)
    return msgspec.structs.replace(loaded, domain=msgspec.structs.replace(loaded.domain, name=name, id=None))


def head_in(directory: Path, name: str) -> Head:
    """The head of a guest's tuning file, which was loaded without errors; an empty one if there is no file."""
    path = path_for(name, directory)
    return head_of(read_file(str(path))) if path is not None and _is_there(path) else Head()


def path_for(name: str, directory: Path) -> Path | None:
    """The path of a guest's file, whether or not it exists; None if there can be none for this name."""
    return directory / f"{name}{_SUFFIX}" if _is_safe(name) else None


def stage_tuning_file(name: str, text: str, directory: Path) -> StagedFile:
    """Write a guest's new tuning file beside the old one, readable for all; ``commit`` puts it in place.

    Raises InputError for a name that no file can have, and for domain XML, which is more than its tuning, and
    UnwritableFileError.
    """
    path = path_for(name, directory)
    if path is None:
        raise InputError(f"guest {name!r} cannot have a tuning file: no file can have this name")
    old = tuning_of(name, directory)
    if old and old.domain and old.domain.type:
        raise InputError(
            f"{path} is domain XML, and only its tuning is known", hint="edit it, or keep only <cputune> in it"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        staged = stage_file(path, text.encode(), mode=_MODE)
        staged.part.chmod(_MODE)  # whatever the umask
    except OSError as error:
        raise UnwritableFileError(path, error.strerror) from None
    return staged


def names_in(directory: Path) -> tuple[str, ...] | None:
    """Return the names of guests with a file, sorted; None if the directory does not exist.

    Raises UnreadableFileError.
    """
    try:
        return tuple(sorted(_names(directory)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFileError(directory, error.strerror) from None


def _file_of(name: str, directory: Path, vcpus: int | None) -> TuningFile | None:
    """None for a file that was removed after the directory was listed."""
    try:
        loaded = tuning_of(name, directory, vcpus)
    except InputError as error:
        return TuningFile(None, str(error))
    if loaded is None:
        return None
    return TuningFile(loaded.domain, "" if loaded.domain else first_error(loaded.findings, loaded.name))


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UnreadableFileError(path, error.strerror) from None
    return True


def _names(directory: Path) -> Iterator[str]:
    for entry in directory.iterdir():
        name = entry.name.removesuffix(_SUFFIX)
        if entry.name.endswith(_SUFFIX) and _is_safe(name):
            yield name


def _is_safe(name: str) -> bool:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        return False
    try:
        return len(f"{name}{_SUFFIX}".encode()) <= _LONGEST
    except UnicodeEncodeError:  # bytes of a file name that are not text
        return False
