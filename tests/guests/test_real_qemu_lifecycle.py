"""The life of a guest without libvirt: a real QEMU, tuned by name on a mounted simulated host."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess

import pytest

from cachetune.errors import ResctrlError
from tests.guests.qemu import Qemu, running
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

NAME = f"life{os.getpid()}"
CONTROL = f"cachetune-{NAME}-vcpus_0-5"
MONITOR = f"{CONTROL}/mon_groups/cachetune-{NAME}-vcpus_0"
TUNING = """<cputune><cachetune vcpus='0-5'><cache id='0' level='3' type='both' size='4608' unit='KiB'/>
<monitor level='3' vcpus='0'/></cachetune></cputune>"""

EXCLUSIVE = TUNING.replace("vcpus='0-5'", "vcpus='0-5' mode='exclusive'").replace(
    "<monitor", "<cache id='1' level='3' type='both' size='2304' unit='KiB'/><monitor"
)


class Host:
    """A mounted simulated host whose threads are this machine's, and the command on it."""

    def __init__(self, mount: Mounted, directory: Path) -> None:
        self.mount, self._directory = mount, directory
        self.tuning = directory / "tuning.xml"
        self.tuning.write_text(TUNING)

        self.guests_d = directory / "guests.d"

    def cachetune(self, verb: str, *words: str | Path) -> CompletedProcess[str]:
        source_options = ("--resctrl", self.mount.root, "--run", self._directory / "run")
        stored = () if verb == "monitor" else ("--guests-d", self.guests_d)
        return run(verb, *words, *source_options, *stored, stdin=DEVNULL)

    def tune(self, verb: str, *words: str | Path) -> CompletedProcess[str]:
        return self.cachetune(verb, "--guest", NAME, "--shrink-default", self.tuning, *words)

    def tids(self, group: str) -> set[int]:
        return set(map(int, self.mount.read(f"{group}/tasks").split()))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    need_fuse()
    with mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s") as mount:
        yield Host(mount, tmp_path)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Qemu]:
    with running(tmp_path, NAME) as started:
        yield started


def test_apply_plug_apply_again_quit_and_remove(host: Host, guest: Qemu) -> None:
    before = host.mount.read("schemata")
    others = {int(tid.name) for tid in Path(f"/proc/{guest.pid}/task").iterdir()} - set(guest.vcpus().values())

    applied = host.tune("apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    four = guest.vcpus()
    assert host.tids(CONTROL) == set(four.values())
    assert host.tids(MONITOR) == {four[0]}
    assert host.tids(".") >= others, "the request is only for vCPUs"
    assert "L3:0=003;" in host.mount.read(f"{CONTROL}/schemata")
    assert host.tune("diff").returncode == 0

    guest.plug(4)
    plugged = guest.vcpus()
    assert len(plugged) == 5
    in_group = host.tids(CONTROL)
    assert plugged[4] not in in_group, "the main thread, which is in the default group, created it"
    assert host.tune("diff").returncode == 1
    again = host.tune("apply", "--yes")
    assert again.returncode == 0, again.stderr
    assert host.tids(CONTROL) == set(plugged.values())
    assert host.tids(MONITOR) == {plugged[0]}
    assert host.tune("diff").returncode == 0
    assert "Nothing to do" in host.tune("apply", "--yes").stdout

    listed = json.loads(host.cachetune("guests", "--json").stdout)["guests"]
    (state,) = [found for found in listed if found["pid"] == guest.pid]
    assert state["groups"] == [CONTROL, MONITOR]
    assert state["vcpus"] == {str(vcpu): tid for vcpu, tid in plugged.items()}

    guest.quit()
    assert (host.tids(CONTROL), host.tids(MONITOR)) == (set(), set())
    gone = host.tune("apply", "--yes")
    assert (gone.returncode, f"guest '{NAME}' is not running" in gone.stderr) == (2, True)

    removed = host.cachetune("remove", "--yes", "--machine-name", f"cachetune-{NAME}")
    assert removed.returncode == 0, removed.stderr
    assert not host.mount.exists(CONTROL)
    assert host.mount.read("schemata") == before


def test_a_saved_request_is_what_every_verb_compares_a_real_qemu_with(host: Host, guest: Qemu) -> None:
    state = {"applied": 0, "drifted": 1}

    def drift() -> str:
        """The state of the guest according to diff --all-guests, with its exit code, and to guests."""
        answer = host.cachetune("diff", "--all-guests", "--json")
        (mine,) = [each for each in json.loads(answer.stdout)["guests"] if each["pid"] == guest.pid]
        found: str = mine["tuning"]["state"]
        assert (answer.returncode, mine["tuning"]["file"]) == (state[found], str(host.guests_d / f"{NAME}.xml"))
        listed = json.loads(host.cachetune("guests", "--json").stdout)["guests"]
        assert [each["tuning"]["state"] for each in listed if each["pid"] == guest.pid] == [found]
        assert host.cachetune("diff", "--guest", NAME).returncode == state[found]
        return found

    saved = host.tune("apply", "--yes", "--save")
    assert (saved.returncode, f"Saved {host.guests_d / NAME}.xml.\n" in saved.stderr) == (0, True), saved.stderr
    assert drift() == "applied"
    guest.plug(4)
    assert drift() == "drifted"
    assert host.cachetune("apply", "--yes", "--guest", NAME).returncode == 0
    assert host.tids(CONTROL) == set(guest.vcpus().values())
    assert drift() == "applied"
    host.mount.write(f"{CONTROL}/schemata", "L3:0=1\n")
    assert drift() == "drifted"
    assert host.cachetune("apply", "--yes", "--all-guests").returncode == 0
    assert drift() == "applied"

    removed = host.cachetune("remove", "--yes", "--guest", NAME)
    assert (removed.returncode, "still requests tuning" in removed.stderr) == (0, True)
    (host.guests_d / f"{NAME}.xml").unlink()
    again = host.cachetune("remove", "--yes", "--guest", NAME)
    assert (again.returncode, "There are no groups that cachetune made for this guest." in again.stdout) == (0, True)
    guest.quit()
    unknown = host.cachetune("remove", "--yes", "--guest", NAME)
    assert (unknown.returncode, f"guest '{NAME}' is not known" in unknown.stderr) == (2, True)


def test_one_thread_for_all_vcpus_is_refused_by_every_verb_that_plans_and_nothing_is_touched(
    host: Host, tmp_path: Path
) -> None:
    before = host.mount.tree()
    with running(tmp_path, NAME, thread="single") as guest:
        for verb in ("plan", "diff", "apply"):
            refused = host.tune(verb)
            assert refused.returncode == 2
            assert "all its vCPUs run in one thread, so they cannot be tuned individually" in refused.stderr
        assert host.mount.tree() == before
        host.tuning.write_text(TUNING.replace(" vcpus='0-5'", "").replace(" vcpus='0'", ""))
        whole = host.tune("apply", "--yes")
        assert whole.returncode == 0, whole.stderr
        assert host.tids(f"cachetune-{NAME}") >= {guest.pid, *guest.vcpus().values()}


def test_an_exclusive_group_keeps_others_out_until_it_is_removed(host: Host, guest: Qemu) -> None:
    before = host.mount.read("schemata")
    without = host.tune("apply", "--yes", "--exclusive")
    assert without.returncode == 2
    assert "it requests no ways of L3 cache 1 [CT247]" in without.stderr
    assert host.mount.read("schemata") == before

    host.tuning.write_text(EXCLUSIVE)
    applied = host.tune("apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert f"+ {CONTROL}  (vCPUs 0-5, exclusive)" in applied.stdout
    assert host.mount.read(f"{CONTROL}/mode") == "exclusive\n"
    assert host.tids(CONTROL) == set(guest.vcpus().values())
    with pytest.raises(ResctrlError, match="EINVAL"):
        host.mount.write("schemata", "L3:0=7ff\n")
    assert host.mount.read("info/last_cmd_status") == "Overlaps with exclusive group\n"

    host.mount.write(f"{CONTROL}/mode", "shareable\n")
    assert host.tune("diff").returncode == 1
    assert host.tune("apply", "--yes").returncode == 0
    assert host.mount.read(f"{CONTROL}/mode") == "exclusive\n"

    host.tuning.write_text(TUNING)
    shared = host.tune("apply", "--yes")
    assert shared.returncode == 0, shared.stderr
    assert host.mount.read(f"{CONTROL}/mode") == "shareable\n"
    host.tuning.write_text(EXCLUSIVE)
    assert host.tune("apply", "--yes").returncode == 0
    removed = host.cachetune("remove", "--yes", "--machine-name", f"cachetune-{NAME}")
    assert removed.returncode == 0, removed.stderr
    assert host.mount.read("schemata") == before


def test_without_debug_threads_qmp_provides_the_vcpus(host: Host, tmp_path: Path) -> None:
    with running(tmp_path, NAME, named=False) as guest:
        untold = host.tune("apply", "--yes")
        assert (untold.returncode, "debug-threads=on" in untold.stderr) == (2, True)
        applied = host.tune("apply", "--yes", "--qmp", guest.socket)
        assert applied.returncode == 0, applied.stderr
        assert host.tids(CONTROL) == set(guest.vcpus().values())
