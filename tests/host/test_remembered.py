"""Reading a host again and again: what ``read_host`` returns, put together only if an answer is another one."""

import contextlib
import random
from pathlib import Path

import pytest

from cachetune.errors import HostError, ResctrlError
from cachetune.host import remembered
from cachetune.host.read import read_host
from cachetune.host.remembered import RememberedHost
from cachetune.sim import SimulatedResctrl, load_profile
from tests.samples import FAST_PROFILES, TIDS, host_with_guest


@pytest.mark.parametrize("profile", FAST_PROFILES)
def test_a_host_that_is_as_it_was_is_the_same_object(profile: str) -> None:
    sim, host = host_with_guest(profile), RememberedHost()
    first = host.read(sim)
    assert first == read_host(sim)
    assert host.read(sim) is first


@pytest.mark.parametrize(
    ("path", "text"), [("schemata", "L3:0=7f\n"), ("a/tasks", f"{TIDS[0]}\n"), ("mode", "exclusive\n")]
)
def test_each_write_to_a_group_is_seen(path: str, text: str) -> None:
    sim, host = host_with_guest("skylake-2s"), RememberedHost()
    sim.mkdir("a")
    before = host.read(sim)
    with contextlib.suppress(ResctrlError):
        sim.write(path, text)
    assert host.read(sim) == read_host(sim)
    assert (host.read(sim) == before) == (path == "mode")  # the default group cannot be exclusive


def test_the_ledger_counts() -> None:
    sim, host = host_with_guest("skylake-2s"), RememberedHost()
    sim.mkdir("a")
    assert host.read(sim).groups[-1].owner == "unknown"
    assert host.read(sim, None, {"a"}).groups[-1].owner == "cachetune"


def test_an_error_is_raised_each_time_and_the_host_read_again_after_it() -> None:
    sim, host = host_with_guest("skylake-2s"), RememberedHost()
    first = host.read(sim)
    sim.mkdir("a")
    broken = _Broken(sim)
    for _ in range(2):
        with pytest.raises(ResctrlError, match="schemata"):
            host.read(broken)  # type: ignore[arg-type]
    sim.rmdir("a")
    assert host.read(sim) == first


class _Broken:
    """A resctrl whose default group's schemata cannot be read."""

    def __init__(self, fs: SimulatedResctrl) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> object:
        return getattr(self._fs, name)

    def read(self, path: str) -> str:
        if path == "schemata":
            raise ResctrlError(5, "read", path)
        return self._fs.read(path)


def test_sysfs_is_read_again_when_other_cpus_are_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    real = remembered.read_machine
    monkeypatch.setattr(remembered, "read_machine", lambda sysfs, levels: looks.append(sysfs) or real(sysfs, levels))
    online = tmp_path / "devices/system/cpu/online"
    online.parent.mkdir(parents=True)
    online.write_text("0-3\n")
    sim, host = host_with_guest("skylake-2s"), RememberedHost()
    for change in ("a", "b"):
        sim.mkdir(change)
        host.read(sim, tmp_path)
    assert len(looks) == 1
    online.write_text("0-2\n")
    host.read(sim, tmp_path)
    assert len(looks) == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_host_is_that_of_read_host(seed: int) -> None:
    chance, host = random.Random(seed), RememberedHost()  # noqa: S311 - a seed, to do the same again
    sim = SimulatedResctrl(load_profile(chance.choice(FAST_PROFILES)))
    for tid in TIDS:
        sim.add_task(tid)
    for step in range(120):
        group = chance.choice(["a", "b", "mon_groups/m", "a/mon_groups/n"])
        with contextlib.suppress(ResctrlError, HostError):
            match chance.randrange(6):
                case 0:
                    sim.mkdir(group)
                case 1:
                    sim.rmdir(group)
                case 2:
                    sim.write(f"{group}/tasks", f"{chance.choice(TIDS)}\n")
                case 3:
                    sim.write("schemata", f"L3:0={chance.choice(['f', '1f', '3f'])}\n")
                case 4:
                    sim.add_task(chance.randrange(9000, 9100))
        assert host.read(sim) == read_host(sim), step
