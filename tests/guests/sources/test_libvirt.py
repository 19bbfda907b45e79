"""libvirt's API through libvirt's test driver, and failures of libvirtd."""

import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.errors import MissingExtraError, SourceTimeoutError, SourceUnavailableError
from cachetune.extras import how_to_install
from cachetune.guests.sources import libvirt
from cachetune.guests.sources.libvirt import look
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import add_process, search
from tests.missing import skip_without

UUID = str(uuid.uuid4())
"""Of no other process on the machine: a second one with it, of another test, would hide the guest."""
NODE = """<node><domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory><vcpu>2</vcpu>
<os><type>hvm</type></os><cputune><memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune></cputune>
</domain></node>"""


def need_libvirt_python() -> None:
    """Skip without it; in CI that is a failure."""
    if not libvirt.is_installed():
        skip_without("libvirt-python is missing")


@pytest.fixture
def libvirt_python() -> None:
    need_libvirt_python()


@pytest.fixture
def uri(libvirt_python: None, tmp_path: Path) -> str:  # noqa: ARG001 - needed first
    """libvirt's test driver with one running guest."""
    (tmp_path / "node.xml").write_text(NODE.format(name="web", uuid=UUID))
    return f"test://{tmp_path}/node.xml"


def test_a_guest_is_the_process_with_its_uuid_and_has_live_xml_and_threads(uri: str) -> None:
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", arguments=["-uuid", UUID, "-name", "guest=other"]) as process:
        found = look(search(connect=uri))
    (guest,) = found.sightings
    assert (guest.source, guest.name, guest.uuid, guest.process.pid) == ("libvirt", "web", UUID, process.pid)
    assert guest.vcpus == {0: process.tids["CPU 0/KVM"], 1: process.tids["CPU 1/KVM"]}
    assert guest.libvirt_id == 1
    assert guest.xml
    assert "<memorytune vcpus=" in guest.xml


def test_a_guest_that_runs_elsewhere_is_a_note(uri: str) -> None:
    found = look(search((), connect=uri))
    assert found.sightings == ()
    assert found.notes == ("libvirt runs web, but no single process on this host has its uuid",)


def test_two_processes_with_its_uuid_are_not_a_guest(uri: str, tmp_path: Path) -> None:
    for pid in (40, 50):
        add_process(tmp_path / "proc", pid, {pid: "main"}, arguments=["kvm", "-uuid", UUID])
    assert look(search(connect=uri, proc=tmp_path / "proc")).sightings == ()


def test_invalid_xml_is_a_note(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt, "_live_xml", lambda _: iter(["<domain><name/></domain>", "<half"]))
    found = look(search((), connect=uri))
    assert [note.split(": ")[1] for note in found.notes] == ["its <domain> has no name", "not XML"]


@pytest.mark.usefixtures("libvirt_python")
def test_a_missing_libvirt_is_an_error_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nowhere = f"qemu+unix:///system?socket={tmp_path}/nothing"
    with pytest.raises(SourceUnavailableError, match="cannot connect to qemu\\+unix"):
        look(search((), connect=nowhere))
    with pytest.raises(SourceUnavailableError, match="cannot connect to nonsense"):
        look(search((), connect="nonsense"))
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A socket that accepts connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute"))
        listener.listen()
        yield tmp_path / "mute"


@pytest.mark.usefixtures("libvirt_python")
def test_a_libvirtd_that_hangs_does_not_hang_us(mute: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt, "SECONDS", 0.3)
    with pytest.raises(SourceTimeoutError, match=r"did not answer within 0\.3 s"):
        look(search((), connect=f"qemu+unix:///system?socket={mute}"))


def test_without_the_extra_the_hint_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(MissingExtraError, match="requires the Python package libvirt-python") as caught:
        look(search(()))
    assert caught.value.hint == how_to_install("libvirt", "libvirt-python")
