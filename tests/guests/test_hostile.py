"""Whatever the files of the sources contain, a search ends with guests and notes, never with a traceback."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.guests.find import look
from cachetune.guests.sources.options import SourceOptions
from tests.guests.lookalike import add_process, status_xml

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
SCOPE = "machine.slice/machine-qemu\\x2d7\\x2dweb.scope"
FILES = (
    "run/web.xml",
    "proc/40/stat",
    "proc/40/status",
    "proc/40/cmdline",
    "proc/40/cgroup",
    "proc/40/task/41/stat",
    "proc/40/task/41/status",
    f"cgroup/{SCOPE}/libvirt/vcpu0/cgroup.threads",
    "proc/stat",
)
FRAGMENTS = (b"", b"\0", b"\n", b"-1", b"999999999999999999999", b"<", b"&x;", b"]]>", b"\xff", b"<!DOCTYPE a>", b"41 ")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """All files of a host with one guest that three sources know, and their content."""
    root = tmp_path_factory.mktemp("machine")
    add_process(root / "proc", 40, {40: "kvm", 41: "CPU 0/KVM"}, arguments=["kvm", "-name", "web", "-uuid", UUID])
    (root / "proc/40/cgroup").write_text(f"0::/{SCOPE}/libvirt/emulator\n")
    (root / "proc/stat").write_text("btime 1700000000\n")
    for directory in ("run", f"cgroup/{SCOPE}/libvirt/vcpu0"):
        (root / directory).mkdir(parents=True)
    (root / "run/web.xml").write_text(status_xml("web", UUID, 40, {0: 41}))
    (root / f"cgroup/{SCOPE}/libvirt/vcpu0/cgroup.threads").write_text("41\n")
    return {root / name: (root / name).read_bytes() for name in FILES}


def source_options(machine: dict[Path, bytes]) -> SourceOptions:
    root = next(iter(machine)).parents[1]
    return SourceOptions(proc=root / "proc", libvirt_run=root / "run", cgroup=root / "cgroup")


def test_the_files_are_valid_to_begin_with(machine: dict[Path, bytes]) -> None:
    found = look(source_options(machine))
    (guest,) = found.guests
    assert (guest.name, guest.source, guest.libvirt_id, found.notes) == ("web", "libvirt-status", 7, ())
    assert [thread.vcpu for thread in guest.guest.threads] == [None, 0]


@given(
    number=st.integers(0, len(FILES) - 1),
    start=st.floats(0, 1),
    length=st.integers(0, 60),
    put=st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)),
)
@settings(max_examples=400)
def test_a_truncated_or_overwritten_file_never_causes_a_traceback(
    machine: dict[Path, bytes], number: int, start: float, length: int, put: bytes
) -> None:
    path, content = list(machine.items())[number]
    at = int(start * len(content))
    path.write_bytes(content[:at] + put + content[at + length :])
    try:
        found = look(source_options(machine))
    finally:
        path.write_bytes(content)
    for guest in found.guests:
        assert guest.guest.pid == 40
        assert {thread.tid for thread in guest.guest.threads} <= {40, 41}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("instead", ["nothing", "directory", "loop"])
def test_anything_but_a_regular_file_never_causes_a_traceback(
    machine: dict[Path, bytes], name: str, instead: str
) -> None:
    (path,) = [path for path in machine if str(path).endswith(f"/{name}")]
    path.unlink()
    if instead == "directory":
        path.mkdir()
    elif instead == "loop":
        path.symlink_to(path)
    try:
        look(source_options(machine))
    finally:
        path.rmdir() if instead == "directory" else path.unlink(missing_ok=True)
        path.write_bytes(machine[path])
