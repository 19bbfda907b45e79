"""A scene for each rule that takes more than a document to break: existing groups, threads, a plan, a journal.

``bad`` builds a situation that breaks the rule, ``good`` the nearest one that breaks none. Both return the findings.
The host is a simulated skylake-2s, unless its counters matter: two L3 caches of 11 ways of 2304 KiB each, the two ways
600 shared with I/O, and 8 CLOSIDs. The guest is ``web``, with four vCPUs whose threads are TIDS.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from cachetune.apply.measure import begin, restore
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import measurement
from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import Ledger
from cachetune.apply.state.measurement import MeasuredGroup
from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.errors import ApplyRefusedError
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.host.model import BandwidthUnit, Host, Problem
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan_guests
from cachetune.plan.allocation import Allocation
from cachetune.plan.default_group import CacheAmount, DefaultRequest, plan_default, plan_reset
from cachetune.plan.policy import LeastWays, Policy
from cachetune.plan.steps import Step, WriteSchemata
from cachetune.service.connection import Location, connect
from cachetune.service.edits import Edit, NodeEdit, edit_planner
from cachetune.sim import SimulatedResctrl, load_profile, write_tree
from cachetune.units import Rate, Size
from tests.plan import counted
from tests.samples import GUEST, TIDS, host_with_guest, plan_for
from tests.sim.fuse.mounted import mounted, need_fuse

Found = tuple[Finding, ...]


class Scene(msgspec.Struct, frozen=True):
    """Two situations; each is built by a call that returns what was found in it."""

    bad: Callable[[], Found]
    good: Callable[[], Found]


# -- the guest ----------------------------------------------------------------------------------------------------


def web(cputune: str, attributes: str = "") -> Domain:
    """The guest with this ``<cputune>``."""
    xml = f"<domain type='kvm'{attributes}><name>web</name><vcpu>4</vcpu><cputune>{cputune}</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def with_uuid(uuid: str) -> Domain:
    """The guest with two ways of L3 cache 0 and this uuid."""
    return msgspec.structs.replace(WEB, uuid=uuid)


def cachetune(vcpus: str, ways: int, *cache_ids: int) -> str:
    """A ``<cachetune>`` with this many ways of each of these L3 caches, cache 0 by default."""
    size = f"size='{ways * 2304}' unit='KiB'"
    caches = "".join(f"<cache id='{cache_id}' level='3' type='both' {size}/>" for cache_id in cache_ids or (0,))
    return f"<cachetune {f'vcpus={vcpus!r}' if vcpus else ''}>{caches}</cachetune>"


def for_threads(threads: str) -> Domain:
    """The guest with a tuning file that gives two ways of L3 cache 0 to these threads."""
    tuning = f"<cputune>{cachetune('', 2).replace('<cachetune ', f'<cachetune threads={threads!r} ')}</cputune>"
    loaded = load(tuning.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return msgspec.structs.replace(loaded.domain, name="web")


NODE_0 = web("<memorytune vcpus='0-1'><node id='0' bandwidth='400'/></memorytune>")
WEB = web(cachetune("0-1", 2))
TWO_WAYS_OF_HASWELL = web(
    "<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune>"
)
WHOLE_PROCESS = web(cachetune("", 2))
STARTED_BY_LIBVIRT = web(cachetune("0-1", 2), " id='7'")

# Some of the guest's threads, by what is known of them.
ONE_THREAD = Guest(TIDS[0], GUEST.threads[:1])
THREADS_OF_VCPUS_0_AND_1 = Guest(None, GUEST.threads[:2])
THREADS_ONLY = Guest(None, GUEST.threads)


def with_thread(**mark: Any) -> Guest:
    """The guest with one thread more, of another kind."""
    return msgspec.structs.replace(GUEST, threads=(*GUEST.threads, Thread(max(TIDS) + 1, 0, **mark)))


# -- planning -----------------------------------------------------------------------------------------------------

FREE = {"schemata": "L3:0=01f;1=01f\n"}  # the default group leaves ways 5 to 10 of both caches free
THREAD_IN_BEST_EFFORT = {"BestEffort/schemata": "L3:0=01f;1=01f\n", "BestEffort/tasks": f"{TIDS[0]}"}


def host(*writes: dict[str, str]) -> Host:
    """The host after these writes; a group that does not exist is made."""
    sim = host_with_guest("skylake-2s")
    for path, text in {path: text for files in writes for path, text in files.items()}.items():
        group = path.rpartition("/")[0]
        if group and not sim.exists(group):
            sim.mkdir(group)
        sim.write(path, text)
    return read_host(sim)


def libvirts(schemata: str) -> dict[str, str]:
    """The group that libvirt made for vCPUs 0 and 1, their threads in it."""
    group = "qemu-7-web-vcpus_0-1"
    return {f"{group}/schemata": schemata, f"{group}/tasks": f"{TIDS[0]},{TIDS[1]}"}


def without_sizes(on: Host) -> Host:
    """The host as read from a tree that has no cache sizes."""
    caches = tuple(msgspec.structs.replace(cache, size_bytes=dict.fromkeys(cache.size_bytes)) for cache in on.caches)
    return msgspec.structs.replace(on, caches=caches)


def planning(domain: Domain, on: Host, guest: Guest | None = GUEST, machine_name: str = "", **options: bool) -> Found:
    """Plan: errors of a refused plan, warnings of one that was made."""
    try:
        made = plan_guests([GuestRequest(domain, guest, machine_name)], on, Options(**options))
    except PlanRefusedError as refused:
        return refused.findings
    return made.warnings


def default(**sizes: str) -> Found:
    """Give the default group ways of L3 cache 0, or of cache ``at``, while a guest has the four ways 00f.

    With ``least``, the policy keeps as many.
    """
    on = host({"schemata": "L3:0=7f0\n"}, {"cachetune-db/schemata": "L3:0=00f\n"})
    least = (LeastWays("L3", None, Size.parse(sizes["least"])),) if "least" in sizes else ()
    policy = Policy("host.toml", least) if least else None
    request = CacheAmount("L3", int(sizes.get("at", "0")), Size.parse(sizes["size"]))
    try:
        return plan_default(on, DefaultRequest((request,)), None, policy).warnings
    except PlanRefusedError as refused:
        return refused.findings


def reset(*groups: dict[str, str], unit: BandwidthUnit = "percent") -> Found:
    """Reset the default group, which had all ways of L3 cache 0 and 90 of MB 0, and has 700 and 100 now."""
    on = host({"schemata": "L3:0=700\n"}, *groups)
    first = Allocation(Masks.of([("L3", 0, Cbm(0x7FF))]), Bandwidth.of([("MB", 0, 90)]))
    return plan_reset(on, first, unit).warnings


def setting(on: Host) -> Found:
    """Set the bandwidth of node 0 to 50: the warnings of the plan."""
    running = RunningGuest(name="web", uuid=None, source="threads", guest=GUEST)
    edit = Edit(nodes=(NodeEdit("MB", frozenset({0}), Rate(50), Source()),))
    return edit_planner(running, None, edit, Options())(on, Ledger()).warnings


def mpam(num_rmids: int) -> Host:
    """The host as if it were MPAM: every way counts as shared with devices, and each control group has its RMIDs."""
    on = host(FREE)
    caches = tuple(msgspec.structs.replace(cache, shareable_bits=cache.cbm_mask) for cache in on.caches)
    monitors = tuple(msgspec.structs.replace(monitor, num_rmids=num_rmids) for monitor in on.monitors)
    return msgspec.structs.replace(on, caches=caches, monitors=monitors)


def with_snc(nodes: int) -> Host:
    """The host with this many Sub-NUMA nodes on each L3 cache."""
    return msgspec.structs.replace(host(FREE), snc_nodes=nodes)


def amd(*, default: int) -> Host:
    """An AMD host where the guest's group has a limit on every node, and so has the default group: ``default``."""
    sim = host_with_guest("genoa")
    ids = read_host(sim).bandwidths[0].ids
    sim.mkdir("cachetune-web-vcpus_0-1")
    for path, value in (("schemata", default), ("cachetune-web-vcpus_0-1/schemata", 400)):
        sim.write(path, f"MB:{';'.join(f'{i}={value}' for i in ids)}\n")
    return read_host(sim)


def unreadable(bit_usage: str) -> Host:
    """The host with a group whose schemata is damaged; ``bit_usage`` of both caches, "" where the kernel has none."""
    on = host(FREE, {"batch/schemata": "L3:0=600;1=600\n"})
    groups = tuple(msgspec.structs.replace(g, masks=Masks()) if g.path == "batch" else g for g in on.groups)
    usage = dict.fromkeys((0, 1), bit_usage) if bit_usage else {}
    caches = tuple(msgspec.structs.replace(cache, bit_usage=usage) for cache in on.caches)
    problems = (Problem("batch/schemata", "not understood: L3:0=6000000"),)
    return msgspec.structs.replace(on, caches=caches, groups=groups, problems=problems)


def in_mode(mode: str) -> Host:
    """The host where the guest's group has two ways of each cache, and this mode."""
    on = host(FREE, {"cachetune-web-vcpus_0-1/schemata": "L3:0=060;1=060\n"})
    ours = (msgspec.structs.replace(group, mode=mode) if group.path != "." else group for group in on.groups)
    return msgspec.structs.replace(on, groups=tuple(ours))


def haswell_beside(exclusive: str) -> Host:
    """A host whose masks need two ways, with another program's exclusive group; 16 and more are free above it."""
    sim = host_with_guest("haswell")
    sim.write("schemata", "L3:0=c0000\n")
    sim.mkdir("batch")
    sim.write("batch/schemata", f"L3:0={exclusive}\n")
    sim.write("batch/mode", "exclusive\n")
    return read_host(sim)


# -- applying -----------------------------------------------------------------------------------------------------


@contextmanager
def connected(domain: Domain = WEB) -> Iterator[tuple[SimulatedResctrl, Connection, Plan]]:
    """A host, a connection to it with an empty run directory, and the guest's plan."""
    with TemporaryDirectory() as run:
        sim = host_with_guest("skylake-2s")
        connection = Connection(sim, Path(run))
        yield sim, connection, plan_for(domain, connection)


def refusing(run: Callable[[], object]) -> Found:
    """Why the run was refused, if it was."""
    try:
        run()
    except ApplyRefusedError as refused:
        return (refused.finding,)
    return ()


def a_plan_applied_later(change: Callable[[SimulatedResctrl], None]) -> Found:
    with connected() as (sim, connection, plan):
        change(sim)
        return refusing(lambda: apply(plan, connection))


def connecting_to_a_copy() -> Found:
    with TemporaryDirectory() as directory:
        root = Path(directory, "resctrl")
        write_tree(SimulatedResctrl(load_profile("skylake-2s")), root)
        return refusing(lambda: connect(Location(resctrl=root)))


def connecting_to_a_mount() -> Found:
    need_fuse()
    with TemporaryDirectory() as directory, mounted(Path(directory, "mount")) as mount:
        return refusing(lambda: connect(Location(resctrl=mount.root)))


def applying_after_an_interrupted_run(first: Callable[[Connection], object]) -> Found:
    with connected() as (_, connection, plan):
        Journal.begin(connection.run, plan, connection.resctrl.source).keep()
        first(connection)
        return refusing(lambda: apply(plan, connection))


def applying_a_plan_with(*added: Step) -> Found:
    """Apply the guest's plan with steps added to it."""
    with connected() as (sim, connection, _):
        sim.mkdir("COS1")
        sim.write("COS1/schemata", "L3:0=400;1=400\n")
        plan = plan_for(WEB, connection)
        return refusing(lambda: apply(msgspec.structs.replace(plan, steps=(*plan.steps, *added)), connection))


def applying_one_after_the_other(first: Domain, second: Domain) -> Found:
    with connected(first) as (_, connection, plan):
        apply(plan, connection)
        return refusing(lambda: apply(plan_for(second, connection), connection))


def recovering(*, resctrl: str = "sim:skylake-2s", edit: Callable[[str], str] = str) -> Found:
    """Recover from a journal written for ``resctrl`` and then edited."""
    with connected() as (_, connection, plan):
        Journal.begin(connection.run, plan, resctrl).keep()
        file = connection.run / "journal.jsonl"
        file.write_text(edit(file.read_text()))
        return refusing(lambda: recover(connection))


def applying_to_libvirts_group(*, adopt: bool) -> Found:
    with connected() as (sim, connection, _):
        sim.mkdir("qemu-7-web-vcpus_0-1")
        sim.write("schemata", "L3:0=7f0\n")
        sim.write("qemu-7-web-vcpus_0-1/schemata", "L3:0=00f\n")
        plan = plan_for(STARTED_BY_LIBVIRT, connection)
        return refusing(lambda: apply(plan, connection, adopt=adopt))


def applying_beside_a_measurement(*, lasts: bool) -> Found:
    with connected() as (_, connection, plan):
        assert apply(plan, connection).outcome == "done"
        group = MeasuredGroup(
            guest="web", machine_name="cachetune-web", path="cachetune-web-vcpus_0-1", before=Cbm(3), masks=(Cbm(1),)
        )
        held = begin(lambda host, _: measurement.new(host.source, "L3", 0, (group,), 60.0), connection)
        if not lasts:
            restore(held, connection)
        fewer = plan_for(web(cachetune("0-1", 1)), connection)
        try:
            return refusing(lambda: apply(fewer, connection))
        finally:
            held.release()


SCENES = {
    # Another program has made the group that the guest needs.
    "CT216": Scene(
        bad=lambda: planning(WEB, host(FREE, {"batch-vcpus_0-1/schemata": "L3:0=020\n"}), machine_name="batch"),
        good=lambda: planning(WEB, host(FREE), machine_name="batch"),
    ),
    # Six free ways are left: two of them are shared with I/O.
    "CT217": Scene(
        bad=lambda: planning(web(cachetune("0", 6)), host(FREE)),
        good=lambda: planning(web(cachetune("0", 4)), host(FREE)),
    ),
    "CT218": Scene(
        bad=lambda: planning(WEB, without_sizes(host(FREE))),
        good=lambda: planning(WEB, host(FREE)),
    ),
    # The guest requests ways of cache 0 only, so on cache 1 it would share the default group's.
    "CT219": Scene(
        bad=lambda: planning(WEB, host(FREE, {"mode": "exclusive\n"})),
        good=lambda: planning(web(cachetune("0-1", 2, 0, 1)), host(FREE, {"mode": "exclusive\n"})),
    ),
    # libvirt gave the guest the two ways that it requests, and another program has since changed the mask.
    "CT222": Scene(
        bad=lambda: planning(STARTED_BY_LIBVIRT, host(FREE, libvirts("L3:0=3c0\n"))),
        good=lambda: planning(STARTED_BY_LIBVIRT, host(FREE, libvirts("L3:0=060\n"))),
    ),
    "CT224": Scene(
        bad=lambda: planning(WEB, mpam(num_rmids=1)),
        good=lambda: planning(WEB, mpam(num_rmids=32)),
    ),
    "CT226": Scene(
        bad=lambda: planning(WEB, with_snc(2)),
        good=lambda: planning(WEB, with_snc(1)),
    ),
    "CT227": Scene(
        bad=lambda: planning(NODE_0, amd(default=1000)),
        good=lambda: planning(NODE_0, amd(default=4096)),
    ),
    "CT228": Scene(
        bad=lambda: planning(WEB, unreadable("")),
        good=lambda: planning(WEB, unreadable("XX0000SSSSS")),
    ),
    # Two of four counters are left. A group takes two: the control group has them, and each of two monitors lacks them.
    "CT230": Scene(
        bad=lambda: planning(counted.guest(counted.tune("0-1", "0", "1")), counted.host()),
        good=lambda: planning(counted.guest(counted.tune("0-1", "0-1")), counted.host()),
    ),
    "CT231": Scene(
        bad=lambda: planning(counted.guest(counted.tune("0-1", "0-1")), counted.host(on_mkdir=False)),
        good=lambda: planning(
            counted.guest(counted.tune("0-1", "0-1")), counted.host(on_mkdir=False), assign_counters=True
        ),
    ),
    # The guest's group would share the default group's ways on cache 1.
    "CT247": Scene(
        bad=lambda: planning(web(cachetune("0-1", 2, 0)), host(FREE), exclusive=True),
        good=lambda: planning(web(cachetune("0-1", 2, 0, 1)), host(FREE), exclusive=True),
    ),
    "CT248": Scene(
        bad=lambda: planning(web(cachetune("0-1", 2, 0, 1)), mpam(num_rmids=32), exclusive=True),
        good=lambda: planning(web(cachetune("0-1", 2, 0, 1)), mpam(num_rmids=32)),
    ),
    "CT249": Scene(
        bad=lambda: planning(WEB, in_mode("pseudo-locked")),
        good=lambda: planning(WEB, in_mode("exclusive")),
    ),
    # Two or three of eleven ways are left to the default group, of which the policy keeps three.
    "CT237": Scene(
        bad=lambda: default(size="2ways", least="3ways"),
        good=lambda: default(size="3ways", least="3ways"),
    ),
    "CT238": Scene(
        bad=lambda: default(size="2ways"),
        good=lambda: default(size="3ways"),
    ),
    "CT239": Scene(
        bad=lambda: default(size="9ways"),
        good=lambda: default(size="7ways"),
    ),
    "CT240": Scene(
        bad=lambda: default(size="4ways", at="7"),
        good=lambda: default(size="4ways", at="1"),
    ),
    "CT241": Scene(
        bad=lambda: reset({"cachetune-db/schemata": "L3:0=00f\n"}),
        good=reset,
    ),
    "CT242": Scene(
        bad=lambda: reset(unit="MiB/s"),
        good=lambda: reset(unit="percent"),
    ),
    # The ways below another program's exclusive group: one, or two.
    "CT250": Scene(
        bad=lambda: planning(TWO_WAYS_OF_HASWELL, haswell_beside("00e")),
        good=lambda: planning(TWO_WAYS_OF_HASWELL, haswell_beside("01c")),
    ),
    # The guest's group was changed by hand.
    "CT254": Scene(
        bad=lambda: setting(host(FREE, {"cachetune-web-vcpus_0-1/schemata": "L3:0=3\n"})),
        good=lambda: setting(host(FREE, {"cachetune-web-vcpus_0-1/schemata": "L3:0=60;1=60\n"})),
    ),
    # Only vCPU 0 has a thread, and the group is for vCPUs 0 and 1.
    "CT401": Scene(
        bad=lambda: planning(WEB, host(FREE), ONE_THREAD),
        good=lambda: planning(WEB, host(FREE), GUEST),
    ),
    "CT402": Scene(
        bad=lambda: planning(WEB, host(FREE, THREAD_IN_BEST_EFFORT)),
        good=lambda: planning(WEB, host(FREE, THREAD_IN_BEST_EFFORT), take_tasks=True),
    ),
    "CT403": Scene(
        bad=lambda: planning(WEB, host(FREE), None),
        good=lambda: planning(WEB, host(FREE), GUEST),
    ),
    # --vcpu names threads one by one, but a group without vcpus='…' takes every thread of the process.
    "CT404": Scene(
        bad=lambda: planning(WHOLE_PROCESS, host(FREE), THREADS_ONLY),
        good=lambda: planning(WHOLE_PROCESS, host(FREE), GUEST),
    ),
    # --vcpu names the threads of vCPUs 2 and 3, which are in no group.
    "CT405": Scene(
        bad=lambda: planning(WEB, host(FREE), THREADS_ONLY),
        good=lambda: planning(WEB, host(FREE), THREADS_OF_VCPUS_0_AND_1),
    ),
    # Without debug-threads=on, all threads of QEMU have the name of the program.
    "CT410": Scene(
        bad=lambda: planning(for_threads("iothreads"), host(FREE), Guest(GUEST.pid, GUEST.threads, kinds_known=False)),
        good=lambda: planning(for_threads("iothreads"), host(FREE), with_thread(iothread="iothread1")),
    ),
    "CT411": Scene(
        bad=lambda: planning(for_threads("iothreads:1-2"), host(FREE), with_thread(iothread="iothread1")),
        good=lambda: planning(for_threads("iothreads:1"), host(FREE), with_thread(iothread="iothread1")),
    ),
    "CT412": Scene(
        bad=lambda: planning(for_threads("vhost"), host(FREE), GUEST),
        good=lambda: planning(for_threads("vhost"), host(FREE), with_thread(vhost="kernel thread")),
    ),
    # A new group changes the state that the plan was made for; a new thread does not.
    "CT501": Scene(
        bad=lambda: a_plan_applied_later(lambda sim: sim.mkdir("COS1")),
        good=lambda: a_plan_applied_later(lambda sim: sim.add_task(31337)),
    ),
    "CT502": Scene(bad=connecting_to_a_copy, good=connecting_to_a_mount),
    "CT503": Scene(
        bad=lambda: applying_after_an_interrupted_run(lambda _: None),
        good=lambda: applying_after_an_interrupted_run(recover),
    ),
    # The step that was added writes to another program's group.
    "CT504": Scene(
        bad=lambda: applying_a_plan_with(WriteSchemata("COS1", "L3:0=400\n", "L3:0=600\n")),
        good=applying_a_plan_with,
    ),
    # Two domains are called web and differ by uuid only.
    "CT505": Scene(
        bad=lambda: applying_one_after_the_other(with_uuid("a1"), with_uuid("b2")),
        good=lambda: applying_one_after_the_other(with_uuid("a1"), with_uuid("a1")),
    ),
    "CT506": Scene(
        bad=lambda: recovering(edit=lambda text: text.replace("cachetune-web", "cachetune-db")),
        good=recovering,
    ),
    "CT507": Scene(
        bad=lambda: recovering(resctrl="/sys/fs/resctrl"),
        good=lambda: recovering(resctrl="sim:skylake-2s"),
    ),
    "CT508": Scene(
        bad=lambda: applying_to_libvirts_group(adopt=False),
        good=lambda: applying_to_libvirts_group(adopt=True),
    ),
    "CT509": Scene(
        bad=lambda: applying_beside_a_measurement(lasts=True),
        good=lambda: applying_beside_a_measurement(lasts=False),
    ),
}
