"""Programs on a mount: cachetune with a real process, and Debian's pqos."""

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from cachetune.sim import load_profile
from cachetune.testing.guests import NamedThreads
from tests import waiting
from tests.pqos import need_pqos, pqos_sees
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0'>
      <cache id='0' level='3' type='both' size='4608' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
  </cputune>
</domain>
"""
# pqos expects "resctrl" at its usual place; only this process sees the mount there.
AT_ITS_PLACE = """
set -e
mount -t tmpfs tmpfs /sys/fs; mkdir /sys/fs/resctrl; mount --bind "$1" /sys/fs/resctrl
{ cat /proc/filesystems; printf 'nodev\\tresctrl\\n'; } >"$2"; mount --bind "$2" /proc/filesystems
shift 2
exec "$@"
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


def test_cachetune_works_on_the_mount_end_to_end(tmp_path: Path) -> None:
    file = tmp_path / "web.xml"
    file.write_text(DOMAIN)
    with (
        mounted(tmp_path / "m", "--sysfs", tmp_path / "sys", profile="skylake-2s") as fs,
        NamedThreads("CPU 0/KVM", "CPU 1/KVM") as qemu,
    ):
        places = ("--resctrl", fs.root, "--sysfs", tmp_path / "sys", "--run", tmp_path / "journal")
        who = ("--pid", str(qemu.pid), "--shrink-default", file)
        before = fs.read("schemata")
        assert run("plan", *places, *who).returncode == 0
        assert run("diff", *places, *who).returncode == 1
        done = run("apply", "--yes", *places, *who)
        assert done.returncode == 0, done.stderr
        assert run("diff", *places, *who).returncode == 0
        group = next(name for name in fs.listdir(".") if "web" in name)
        assert fs.read(f"{group}/tasks") == f"{qemu.tids['CPU 0/KVM']}\n"
        assert fs.read(f"{group}/size").splitlines()[1].strip().startswith("L3:0=4718592;"), "two ways of 2.25 MiB"
        assert "/" not in group
        assert str(qemu.tids["CPU 1/KVM"]) in fs.read("tasks").split()
        seen = run("monitor", "--json", "--resctrl", fs.root, "--run", tmp_path / "journal", file)
        assert json.loads(seen.stdout)["monitors"][0]["path"] == group
        gone = run("remove", "--yes", *places, file)
        assert gone.returncode == 0, gone.stderr
        assert group not in fs.listdir(".")
        assert str(qemu.tids["CPU 0/KVM"]) in fs.read("tasks").split()
        assert fs.read("schemata").split()[1].split(";")[1] == before.split()[1].split(";")[1]


def _caches_of_this_machine() -> tuple[int, ...]:
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index3/id")
    return tuple(sorted({int(file.read_text()) for file in files}))


def _pqos(fs: Mounted, *words: str) -> str:
    place = ["/usr/bin/unshare", "-m", "/bin/sh", "-c", AT_ITS_PLACE, "sh", str(fs.root), f"{fs.root}.filesystems"]
    done = waiting.run([*place, "pqos", "--iface=os", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount it where pqos looks for it")
@pytest.mark.skipif(shutil.which("pqos") is None, reason="there is no pqos (Debian's intel-cmt-cat)")
@pytest.mark.skipif(not _caches_of_this_machine(), reason="this machine's sysfs shows no L3 caches, which pqos needs")
def test_pqos_reads_and_changes_the_mount(tmp_path: Path) -> None:
    """Return a profile with the cache ids of this machine, because pqos reads its sysfs."""
    ids = _caches_of_this_machine()
    profile = load_profile("icelake")
    cache = msgspec.structs.replace(profile.caches[-1], ids=ids, cpu_lists=tuple(map(str, range(len(ids)))), level=3)
    file = tmp_path / "profile.json"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(profile, caches=(cache,), threads_per_core=1)))
    with mounted(tmp_path, profile=file) as fs:
        assert "L3 CAT" in _pqos(fs, "-d")
        assert "L3CA COS0 => MASK 0xfff" in _pqos(fs, "-s")
        assert "Allocation configuration altered" in _pqos(fs, "-e", "llc:1=0x3f")
        assert "L3CA COS1 => MASK 0x3f" in _pqos(fs, "-s")
        assert "03f" in fs.read("COS1/schemata")
        assert "pqos" in run("show", "--resctrl", fs.root).stdout


@pytest.mark.parametrize(
    ("profile", "default", "group"),
    [
        ("skylake-2s", ["L3:0=7f0"], ["L3:0=c", "MB:0=50"]),
        ("sapphire-rapids-cdp", ["L3CODE:0=ff0", "L3DATA:0=ff0"], ["L3CODE:0=3", "L3DATA:0=c", "L2:3=f", "MB:0=50"]),
        ("sapphire-rapids-mbps", ["L3:0=ff0"], ["L3:0=c", "MB:0=3000"]),
    ],
)
def test_pqos_makes_the_same_schemata_from_an_export(
    tmp_path: Path, profile: str, default: list[str], group: list[str]
) -> None:
    need_pqos()
    ours, theirs, script = tmp_path / "ours", tmp_path / "theirs", tmp_path / "set.sh"
    web = "cachetune-web-vcpus_0-1"
    with (
        mounted(ours, "--sysfs", ours / "sys", profile=profile) as fs,
        NamedThreads("CPU 0/KVM", "CPU 1/KVM") as qemu,
    ):
        fs.mkdir(web)
        for path, lines in (("schemata", default), (f"{web}/schemata", group)):
            for line in lines:
                fs.write(path, f"{line}\n")
        fs.write(f"{web}/tasks", str(qemu.tids["CPU 1/KVM"]))
        done = run("export", "--format", "pqos", "--resctrl", fs.root, "--run", tmp_path / "run", "-o", script)
        assert (done.returncode, done.stderr) == (0, "")
        with mounted(theirs, "--sysfs", theirs / "sys", profile=profile) as copy:
            pqos_sees(["/bin/sh", "-e", str(script)], copy.root, theirs / "sys")
            assert copy.read("schemata") == fs.read("schemata")
            assert copy.read("COS1/schemata") == fs.read(f"{web}/schemata")
            assert copy.read("COS1/tasks").split() == [str(qemu.tids["CPU 1/KVM"])]
