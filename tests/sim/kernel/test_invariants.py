"""A simulated resctrl keeps its invariants under any sequence of operations."""

import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cachetune.host.resctrl.schemata import parse
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.rules import KERNELS
from tests.effort import examples
from tests.sim.kernel.asking import Clock, attempt

pytestmark = pytest.mark.slow

CONTROL = ("a", "b", "c")
MONITOR = ("m", "n")
GROUPS = ("", *CONTROL, *(f"{g}/mon_groups/{m}".lstrip("/") for g in ("", *CONTROL) for m in MONITOR))
TIDS = range(100, 108)
PROFILES = ("cascade-lake", "milan", "haswell", "sapphire-rapids-cdp", "monitor-only", "allocation-only")
NEW_HARDWARE = ("turin-few-counters", "kunpeng-920-mpam", "sapphire-rapids-snc2")
MACHINES = [(name, kernel) for name in PROFILES for kernel in KERNELS] + [(name, "7.3") for name in NEW_HARDWARE]
ANSWERS = {
    *("ok", "EINVAL", "ENOENT", "EEXIST", "EPERM", "ENOSPC", "EBUSY", "ESRCH", "ERANGE"),
}
ASSIGNMENTS = ("mbm_total_bytes:*=_\n", "mbm_total_bytes:0=e\n", "mbm_local_bytes:*=e\n", "mbm_local_bytes:1=_\n")
MASKS = ("0=1", "0=3", "0=c", "0=f0", "0=7f", "0=180", "0=5", "0=0", "1=f")


class Machine(RuleBasedStateMachine):
    """Random operations on a few groups and tasks. A refused operation must not change anything."""

    @initialize(machine=st.sampled_from(MACHINES))
    def boot(self, machine: tuple[str, str]) -> None:
        """Mount one of the profiles."""
        profile, kernel = machine
        self.clock = Clock()
        self.sim = SimulatedResctrl(load_profile(profile), kernel=kernel, clock=self.clock)
        for tid in TIDS:
            self.sim.add_task(tid)
        self.alive = {1, *TIDS}

    def _try(self, operation: str, *arguments: str, partial: bool = False) -> bool:
        before = self.sim.tree()
        result = attempt(getattr(self.sim, operation), *arguments)
        assert result in ANSWERS
        assert result == "ok" or partial or self.sim.tree() == before
        return result == "ok"

    @rule(path=st.sampled_from(GROUPS[1:]))
    def mkdir(self, path: str) -> None:
        """Create a group."""
        if self._try("mkdir", path):
            assert self.sim.read(f"{path}/tasks") == ""
            assert self.sim.read(f"{path}/cpus_list") == "\n"

    @rule(path=st.sampled_from(GROUPS[1:]))
    def rmdir(self, path: str) -> None:
        """Remove a group."""
        if self._try("rmdir", path):
            assert not self.sim.exists(path)

    @rule(old=st.sampled_from(GROUPS[4:]), new=st.sampled_from(GROUPS[4:]))
    def rename(self, old: str, new: str) -> None:
        """Move a monitor group."""
        self._try("rename", old, new)

    @rule(path=st.sampled_from(GROUPS), tids=st.lists(st.sampled_from([*TIDS, 0, 999]), max_size=4))
    def write_tasks(self, path: str, tids: list[int]) -> None:
        """Move tasks, some of which may not exist."""
        self._try("write", f"{path}/tasks", ",".join(map(str, tids)) + "\n", partial=True)

    @rule(path=st.sampled_from(GROUPS), cpus=st.sampled_from(("", "0", "1", "0-1", "0,1,2", "x", "N")))
    def write_cpus(self, path: str, cpus: str) -> None:
        """Give CPUs to a group."""
        if self._try("write", f"{path}/cpus_list", cpus + "\n") and cpus.isdigit():
            assert self.sim.read(f"{path}/cpus_list") == cpus + "\n"

    @rule(
        path=st.sampled_from(GROUPS[:4]),
        lines=st.lists(
            st.tuples(st.sampled_from(("L3", "L3CODE", "L3DATA", "MB")), st.sampled_from(MASKS)), max_size=3
        ),
    )
    def write_schemata(self, path: str, lines: list[tuple[str, str]]) -> None:
        """Write some lines, including invalid ones."""
        text = "".join(f"{name}:{entry}\n" for name, entry in lines) or "\n"
        self._try("write", f"{path}/schemata", text)

    @rule(path=st.sampled_from(GROUPS[:4]), mode=st.sampled_from(("shareable", "exclusive", "pseudo-locksetup")))
    def write_mode(self, path: str, mode: str) -> None:
        """Change a mode."""
        if self._try("write", f"{path}/mode", mode + "\n"):
            assert self.sim.read(f"{path}/mode") == mode + "\n"

    @rule(path=st.sampled_from(GROUPS), text=st.sampled_from(ASSIGNMENTS))
    def write_assignments(self, path: str, text: str) -> None:
        """Assign counters to a group, or free them."""
        if self.sim.state.assignments.total:
            self._try("write", f"{path}/mbm_L3_assignments", text, partial=True)

    @rule(switch=st.sampled_from(("0\n", "1\n")))
    def switch_io_alloc(self, switch: str) -> None:
        """Give ways to I/O devices, or take them away."""
        if self.sim.state.io:
            self._try("write", "info/L3/io_alloc", switch)

    @rule(parent=st.sampled_from(TIDS), tid=st.integers(200, 210))
    def fork(self, parent: int, tid: int) -> None:
        """Start a task."""
        if parent in self.alive and tid not in self.alive:
            self.sim.add_task(tid, parent)
            self.alive.add(tid)
            assert self.sim.state.tasks[tid] is self.sim.state.tasks[parent]

    @rule(tid=st.integers(200, 210))
    def end(self, tid: int) -> None:
        """End a task."""
        if tid in self.alive:
            self.sim.end_task(tid)
            self.alive.discard(tid)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.now += seconds

    def _groups(self) -> dict[str, list[str]]:
        """Control groups exist with their monitor groups."""
        names = ["", *(name for name in CONTROL if self.sim.exists(name))]
        found = {}
        for name in names:
            inside = f"{name}/mon_groups".lstrip("/")
            found[name] = [f"{inside}/{m}" for m in self.sim.listdir(inside)] if self.sim.exists(inside) else []
        return found

    def _tids(self, path: str) -> set[int]:
        return set(map(int, self.sim.read(f"{path}/tasks").split()))

    @invariant()
    def every_task_is_in_one_control_group_and_monitors_have_a_part_of_theirs(self) -> None:
        """Membership."""
        if not self.sim.profile.can_allocate:
            return
        listed: list[int] = []
        for control, monitors in self._groups().items():
            own = self._tids(control)
            listed += own
            parts = [self._tids(monitor) for monitor in monitors]
            assert sum(map(len, parts)) == len(set().union(*parts))
            assert set().union(*parts) <= own
        assert sorted(listed) == sorted(self.alive)

    @invariant()
    def every_cpu_is_in_one_control_group_and_monitors_have_a_part_of_theirs(self) -> None:
        """CPUs."""
        state = self.sim.state
        assert sorted(cpu for g in state.groups.values() for cpu in g.cpus) == list(range(state.cpu_count))
        for group in state.groups.values():
            shared = [cpu for monitor in group.monitors.values() for cpu in monitor.cpus]
            assert len(shared) == len(set(shared))
            assert set(shared) <= group.cpus

    @invariant()
    def numbers_are_held_once_and_none_is_lost(self) -> None:
        """CLOSIDs and RMIDs."""
        state = self.sim.state
        closids = [group.closid for group in state.groups.values()]
        closids += [state.io.closid] if state.io and state.io.masks else []
        assert len(closids) == len(set(closids)) <= state.closids
        held = [member.rmid for group in state.groups.values() for member in group.members()]
        if state.profile.monitoring:
            rest = [*state.rmids._free, *state.rmids._busy]
            total = int(self.sim.read("info/L3_MON/num_rmids"))
            assert sorted([*map(int, filter(None, held)), 0, *rest]) == list(range(total))
        else:
            assert set(held) <= {0, None}

    @invariant()
    def each_counter_is_free_or_has_one_event_of_one_group(self) -> None:
        """Assignable counters."""
        found = self.sim.state.assignments
        if not found.total:
            return
        texts = [self.sim.read(f"{g}/mbm_L3_assignments") for c, ms in self._groups().items() for g in (c, *ms)]
        for domain in found.domains:
            taken = sum(len(re.findall(rf"[:;]{domain}=e", text)) for text in texts)
            assert taken + found.available(domain) == found.total

    @invariant()
    def an_exclusive_group_shares_no_bit(self) -> None:
        """Exclusive groups overlap neither with others nor with the hardware."""
        state = self.sim.state
        for group in state.groups.values():
            if group.mode != "exclusive":
                continue
            for cache in state.caches:
                for cache_id in cache.ids:
                    mask = group.values[cache.name][cache_id]
                    others = [g.values[cache.name][cache_id] for g in state.groups.values() if g is not group]
                    io = state.io_masks(cache).get(cache_id, 0)
                    assert not any(mask & other for other in (*others, cache.shareable, io))

    @invariant()
    def what_is_shown_can_be_written_back(self) -> None:
        """Writing schemata back as read changes nothing; MPAM may round its bandwidth up once more."""
        if self.sim.profile.vendor == "arm":
            return
        for control in self._groups():
            shown = self.sim.read(f"{control}/schemata")
            assert not parse(shown).other_lines
            if shown:
                self.sim.write(f"{control}/schemata", shown)
                assert self.sim.read(f"{control}/schemata") == shown


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(15), stateful_step_count=40)
