"""The hook in a real libvirtd: who starts a guest sees what it says, and a fresh host has room for a <cachetune>."""

import socket
import sys
from collections.abc import Iterator

import pytest

from cachetune.hook.hints import OPTIONS_FILE
from cachetune.install import PARTS, Program
from cachetune.install.parts import render
from tests.libvirt import answers
from tests.libvirt.bodies import CASES, HOSTS
from tests.libvirt.domains import domain, xml_of
from tests.libvirt.host import ROOT, LibvirtHost

pytestmark = pytest.mark.libvirt

INSTALLED = "/etc/libvirt/hooks/qemu.d/cachetune"
SCRIPT = (ROOT / "scripts/cachetune-hook").read_text().partition("\n")[2]
FRESH = "L3:0=7ff;1=7ff"
TWO_WAYS = "<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>"
TUNING = f"<cputune>{TWO_WAYS}</cputune>"


def installed(*options: str) -> dict[str, str]:
    """The hook as 'cachetune install' writes it, with these options, and the program where libvirt finds it."""
    (part,) = (part for part in PARTS if part.name == "hook")
    called = render(part, Program("", (sys.executable, "/run/hook/cachetune-hook"), ()))
    program = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{SCRIPT}"
    return {
        INSTALLED: called,
        OPTIONS_FILE: f'HOOK_OPTIONS="{" ".join(options)}"\n',
        "/run/hook/cachetune-hook": program,
        "/etc/cachetune/guests.d/file.xml": TUNING,
    }


class Log:
    """The host's system log."""

    def __init__(self, host: LibvirtHost) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(host.root / "dev/log"))

    def lines(self) -> list[str]:
        """What has come since the last time, without time and pid."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(8192).decode().partition("cachetune-hook[")[2].partition("]: ")[2])
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def host(libvirt_here: None) -> Iterator[LibvirtHost]:  # noqa: ARG001 - wanted for what it says
    """A fresh skylake-2s, whose default group has every way, with the hook in its libvirtd."""
    files = installed("--strict", "--shrink-default")
    with LibvirtHost("skylake-2s", files=files) as host:
        yield host


@pytest.fixture
def log(host: LibvirtHost) -> Iterator[Log]:
    log = Log(host)
    yield log
    log.close()
    (host.root / "dev/log").unlink()


def reconnect(host: LibvirtHost, name: str) -> None:
    """Restart libvirtd and wait until it has the guest again, its hook included: memory statistics wait for that."""
    host.restart_libvirtd()
    host.virsh("dommemstat", name, check=True)


def schemata(host: LibvirtHost, group: str = ".") -> str:
    return host.read(f"{group}/schemata").split()[-1]


def test_a_guest_fits_on_a_fresh_host_and_its_ways_are_given_back(host: LibvirtHost, log: Log) -> None:
    before = host.tree().keys()
    started = host.create(domain("own", TWO_WAYS))
    assert started.returncode == 0, started.stderr
    (group,) = host.tree().keys() - before
    assert group.startswith("qemu-")
    tids = host.vcpu_tids("own")
    assert host.tree()[group].tids == (tids[0], tids[1])
    assert (schemata(host), schemata(host, group)) == ("L3:0=7fc;1=7ff", "L3:0=003;1=7ff")
    assert log.lines() == ["prepare of own: write L3:0=7fc to the default group"]
    reconnect(host, "own")
    assert log.lines() == [], "at reconnect all is as it should be"
    host.destroy("own")
    assert host.tree().keys() == before
    assert schemata(host) == FRESH
    assert log.lines() == ["release of own: write L3:0=7ff to the default group"]


def test_a_guest_that_does_not_fit_is_refused_before_qemu_starts_and_virsh_shows_why(host: LibvirtHost) -> None:
    refused = host.create(domain("big", TWO_WAYS.replace("4608", "23040")))
    assert refused.returncode == 1
    assert (
        "cachetune-hook: prepare of big: error: /domain/cputune/cachetune[1]/cache[1]/@size: no room for 10 ways"
        in (refused.stderr)
    )
    log = host.root / "var/log/libvirt/qemu/big.log"
    assert not log.exists() or "starting up" not in log.read_text()
    assert schemata(host) == FRESH
    assert list(host.tree()) == ["."]


def test_the_refusal_names_the_option_of_the_hook_that_would_help(host: LibvirtHost) -> None:
    options = host.root / OPTIONS_FILE.lstrip("/")
    before = options.read_text()
    options.write_text('HOOK_OPTIONS="--strict"\n')
    try:
        refused = host.create(domain("late", TWO_WAYS))
    finally:
        options.write_text(before)
    assert "(--shrink-default: HOOK_OPTIONS in /etc/default/cachetune)" in refused.stderr
    assert "plan with" not in refused.stderr


def test_guests_that_start_at_the_same_time_all_fit_on_a_fresh_host(host: LibvirtHost) -> None:
    names = ("one", "two", "three")
    for name in names:
        host.define(domain(name, TWO_WAYS))
    starting = [host.popen("virsh", "-q", "start", name, "--paused") for name in names]
    said = [started.communicate()[1] for started in starting]
    assert [started.returncode for started in starting] == [0, 0, 0], said
    masks = {schemata(host, path) for path in host.tree() if path != "."}
    assert len(masks) == 3
    assert schemata(host).startswith("L3:0=7c0;")
    ending = [host.popen("virsh", "-q", "destroy", name) for name in names]
    said = [ended.communicate()[1] for ended in ending]
    assert [ended.returncode for ended in ending] == [0, 0, 0], said
    assert schemata(host) == FRESH
    for name in names:
        host.virsh("undefine", name, check=True)


def test_a_guest_with_a_file_is_placed_and_a_vcpu_plugged_in_later_at_the_next_reconnect(
    host: LibvirtHost, log: Log
) -> None:
    (host.root / "etc/cachetune/guests.d/file.xml").write_text(TUNING.replace("0-1", "0-2"))
    started = host.create(domain("file", "", current=2))
    assert started.returncode == 0, started.stderr
    group = "cachetune-file-vcpus_0-2"
    first = set(host.vcpu_tids("file").values())
    assert set(host.tree()[group].tids) == first
    assert log.lines() == [
        "started of file: write L3:0=7fc to the default group",
        f"started of file: create {group}",
        f"started of file: write L3:0=003;1=7ff to {group}",
        f"started of file: move 2 tasks from the default group to {group}",
    ]
    host.virsh("setvcpus", "file", "3", "--live", check=True)
    (third,) = set(host.vcpu_tids("file").values()) - first
    assert third not in host.tree()[group].tids, "libvirt has no hook for it; the agent handles it"
    reconnect(host, "file")
    assert set(host.tree()[group].tids) == {*first, third}
    assert log.lines() == [f"reconnect of file: move 1 task from the default group to {group}"]
    host.run("kill", "-9", str(host.pid("file")), check=True)
    host.virsh("destroy", "file")  # whether it is in time or not, libvirt has dealt with the end when it returns
    assert list(host.tree()) == ["."]
    assert schemata(host) == FRESH


def test_a_saved_guest_gives_its_ways_back_and_gets_them_on_restore(host: LibvirtHost, log: Log) -> None:
    host.define(domain("own", TWO_WAYS))
    taken, given = (f"own: write L3:0={mask} to the default group" for mask in ("7fc", "7ff"))
    host.start("own")
    host.virsh("managedsave", "own", check=True)
    assert (list(host.tree()), schemata(host)) == (["."], FRESH)
    host.start("own")
    assert len(host.tree()) == 2
    host.destroy("own")
    host.virsh("undefine", "own", check=True)
    assert log.lines() == [f"prepare of {taken}", f"release of {given}"] * 2


def test_a_request_is_not_placed_twice(host: LibvirtHost) -> None:
    (host.root / "etc/cachetune/guests.d/file.xml").write_text(TUNING)
    refused = host.create(domain("file", TWO_WAYS))
    assert refused.returncode == 1
    assert "both the guest's own XML and /etc/cachetune/guests.d/file.xml" in refused.stderr
    assert list(host.tree()) == ["."]


def test_drift_is_reported_at_reconnect_and_the_guest_keeps_running(host: LibvirtHost, log: Log) -> None:
    assert host.create(domain("own", TWO_WAYS)).returncode == 0
    (group,) = host.tree().keys() - {"."}
    host.write(f"{group}/schemata", "L3:0=001")
    log.lines()
    reconnect(host, "own")
    (line,) = log.lines()
    assert line.startswith(
        "reconnect of own: error: libvirt did not place the guest as its XML requests; still to do: "
    )
    assert "paused" in host.virsh("domstate", "own").stdout
    host.destroy("own")
    assert schemata(host) == FRESH


BODIES = ("2 groups", "code and data", "bandwidth and cache of two groups", "monitors in 2 groups", "type both")


def test_with_the_hook_a_fresh_host_accepts_exactly_what_libvirt_accepts_with_free_ways(libvirt_here: None) -> None:  # noqa: ARG001
    recorded = answers.load("9.0")
    host_name = "sapphire-rapids-cdp"
    cases = {case.name: case for case in CASES if case.host == host_name and case.state == "room"}
    with LibvirtHost(HOSTS[host_name], files=installed("--strict", "--shrink-default")) as host:
        log, fresh = Log(host), host.tree()
        for name in BODIES:
            answer = recorded[cases[name].key]
            started = host.create(xml_of(cases[name]))
            assert (name, started.returncode) == (name, int(bool(answer.refused))), started.stderr
            if not answer.refused:
                groups = {answers.named(path) for path in host.tree().keys() - fresh.keys()}
                assert groups == answer.groups.keys(), name
                host.destroy(answers.GUEST)
            assert not [line for line in log.lines() if "error" in line and not answer.refused], name
            assert _without_tasks(host) == {path: group.schemata for path, group in fresh.items()}, name
        log.close()


def _without_tasks(host: LibvirtHost) -> dict[str, str]:
    return {path: group.schemata for path, group in host.tree().items()}


GONE = {
    "it is not there": "",
    "its interpreter is not there": "#!/nonexistent",
    "its package is not there": f"#!{sys.executable} -I\n" + SCRIPT,
}


@pytest.mark.parametrize("case", GONE)
def test_a_broken_hook_neither_prevents_a_start_nor_ends_a_guest(host: LibvirtHost, case: str) -> None:
    program = host.root / "run/hook/cachetune-hook"
    works = program.read_text()
    program.unlink()
    try:
        if GONE[case]:
            program.write_text(GONE[case])
            program.chmod(0o755)
        started = host.create(domain("plain", "", vcpus=1))
        assert started.returncode == 0, started.stderr
        reconnect(host, "plain")
        assert "paused" in host.virsh("domstate", "plain").stdout
        host.destroy("plain")
    finally:
        program.write_text(works)
        program.chmod(0o755)
