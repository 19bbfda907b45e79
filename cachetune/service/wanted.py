"""What a running guest should have: the one decision that every verb and the agent share.

A file that the user names comes first. Then a guest's tuning file in guests.d, then its live XML. If the last two both
request tuning, neither is used: libvirt's groups hold the threads that the file would move.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from cachetune.domain import Loaded, load
from cachetune.domain.model import Domain
from cachetune.guests.find import most_trusted
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import tuning_of

RequestedBy = Literal["file", "libvirt"]


class Wanted(msgspec.Struct, frozen=True):
    """What one guest should have according to its tuning file or its live XML (``requested_by``; None: to neither).

    ``xml`` is what was loaded. ``problem`` says why it cannot be used although it is valid ("" if it can).
    """

    requested_by: RequestedBy | None = None
    xml: Loaded | None = None
    problem: str = ""


def wanted(running: RunningGuest, file: Loaded | None, everyone: Sequence[RunningGuest] = ()) -> Wanted:
    """What a running guest should have; ``file`` is the tuning file of its name, if there is one.

    ``everyone`` are the running guests, of which others may have the same name. The file is for the most trusted one.
    """
    live = None if running.xml is None else load(running.xml.encode(), f"{running.name} (libvirt)", live=True)
    others = claimants(running.name, file.domain if file else None, everyone)
    if file and others and running not in others:
        problem = uuid_problem(file.domain, running.uuid)
        return Wanted("file", file, problem) if problem else Wanted()  # its name is that of a more trusted guest
    if source_of(has_file=file is not None, has_xml=live is not None) != "file":
        return Wanted("libvirt", live) if live else Wanted()
    problems = (
        conflict_of(file.domain if file else None, live.domain if live else None),
        uuid_problem(file.domain if file else None, running.uuid),
        rivals_problem(others),
    )
    return Wanted("file", file, next(filter(None, problems), ""))


def file_of(running: RunningGuest, guests_d: Path) -> Loaded | None:
    """The tuning file of a running guest in guests.d; None without one. Raises what ``tuning_files.tuning_of`` does."""
    live = running.live_domain
    return tuning_of(running.name, guests_d, live.vcpus if live else None)


def source_of(*, has_file: bool, has_xml: bool) -> RequestedBy | None:
    """Whose request counts: a tuning file's, else that of live XML."""
    if has_file:
        return "file"
    return "libvirt" if has_xml else None


def conflict_of(file: Domain | None, live: Domain | None) -> str:
    """Why a tuning file cannot be used for a guest with this live XML; "" if it can. ``file`` None has errors."""
    if live is None or not live.groups or (file and not file.groups):
        return ""
    return "both its tuning file and its live XML request tuning; libvirt's groups stay"


def uuid_problem(domain: Domain | None, uuid: str | None) -> str:
    """Why a tuning file is not that of the guest with this UUID; "" if it is, or if either has none."""
    if domain is None or None in (domain.uuid, uuid) or domain.uuid == uuid:
        return ""
    return f"the running guest has UUID {uuid}, its tuning file has {domain.uuid}"


def claimants(name: str, domain: Domain | None, everyone: Sequence[RunningGuest]) -> Sequence[RunningGuest]:
    """The running guests that a tuning file may be for, normally one.

    Guests of this name that another source confirms hide those that only claim it. The file's ``domain`` excludes
    guests with another UUID.
    """
    called = most_trusted([guest for guest in everyone if guest.name == name])
    return tuple(guest for guest in called if not uuid_problem(domain, guest.uuid))


def rivals_problem(rivals: Sequence[RunningGuest]) -> str:
    """Why a tuning file cannot be used if it is for each of these guests; "" if there is one."""
    if len(rivals) < 2:
        return ""
    pids = ", ".join(str(guest.guest.pid) for guest in rivals)
    return f"several running guests have this name (processes {pids}); add a UUID to the file"
