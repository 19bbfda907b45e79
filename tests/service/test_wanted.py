"""What a running guest should have: the order of sources, and which of several guests with one name a file is for."""

import pytest

from cachetune.domain import Loaded, load
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.sources import SourceName
from cachetune.service.wanted import Wanted, wanted

HALF = "<cputune><memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune></cputune>"
A, B = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10", "1d4b0ef2-5f2c-4e75-93a5-0c7d6a0b7a11"


def running(
    pid: int, xml: str | None = None, uuid: str | None = None, source: SourceName = "threads", user: int = 0
) -> RunningGuest:
    live = None if xml is None else f"<domain id='7'><name>web</name><vcpu>2</vcpu>{xml}</domain>"
    guest = Guest(pid=pid, threads=())
    return RunningGuest(name="web", uuid=uuid, source=source, guest=guest, xml=live, user=user)


def file(uuid: str = "") -> Loaded:
    """The tuning file of web: with a UUID, it is domain XML."""
    text = f"<domain><name>web</name><uuid>{uuid}</uuid><vcpu>2</vcpu>{HALF}</domain>" if uuid else HALF
    return load(text.encode(), "web.xml")


def test_without_a_file_and_without_xml_nothing_is_known() -> None:
    assert wanted(running(1), None) == Wanted()


@pytest.mark.parametrize(
    ("live", "has_file", "source", "problem"),
    [
        (None, True, "file", ""),
        ("", True, "file", ""),
        ("", False, "libvirt", ""),
        (HALF, False, "libvirt", ""),
        (HALF, True, "file", "both its tuning file and its live XML request tuning; libvirt's groups stay"),
    ],
)
def test_a_tuning_file_counts_more_than_live_xml_unless_both_request_tuning(
    live: str | None, has_file: bool, source: str, problem: str
) -> None:
    found = wanted(running(1, live), file() if has_file else None)
    assert (found.requested_by, found.problem) == (source, problem)


def test_a_file_with_another_uuid_is_not_used() -> None:
    assert wanted(running(1, uuid=A), file(A)).problem == ""
    assert wanted(running(1), file(A)).problem == ""
    assert wanted(running(1, uuid=B), file(A)).problem == f"the running guest has UUID {B}, its tuning file has {A}"


def test_a_process_that_only_claims_the_name_of_libvirts_guest_does_not_get_its_file() -> None:
    real, impostor = running(1, "", source="libvirt-status"), running(2, user=1000)
    everyone = (real, impostor)
    assert wanted(real, file(), everyone).requested_by == "file"
    assert wanted(real, file(), everyone).problem == ""
    assert wanted(impostor, file(), everyone) == Wanted()


def test_a_file_without_a_uuid_is_for_neither_of_two_guests_with_its_name() -> None:
    everyone = (running(1, uuid=A), running(2, uuid=B))
    text = "several running guests have this name (processes 1, 2); add a UUID to the file"
    assert [wanted(guest, file(), everyone).problem for guest in everyone] == [text, text]
    assert [bool(wanted(guest, file(A), everyone).problem) for guest in everyone] == [False, True]
