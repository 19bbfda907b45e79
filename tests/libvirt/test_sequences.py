"""Many guests on one host: whenever libvirt starts one more, our plan for it from the state before is the same.

The guests come and go, and their bodies are random: CACHETUNE_LIBVIRT_SEED draws others.
"""

import os
import random
from pathlib import Path

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import load
from cachetune.guests import find_guest
from cachetune.host.model import Group, Host
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.plan import Options, PlanRefusedError
from cachetune.plan.build import plan, plan_guests
from cachetune.plan.request import GuestRequest
from cachetune.sim import simulate_host
from tests.libvirt.bodies import HOSTS, VCPUS, Terms, memory, node, prepare, terms_of, tune, watch
from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost

pytestmark = pytest.mark.libvirt
SEED = int(os.environ.get("CACHETUNE_LIBVIRT_SEED", "1"))
STEPS = 16
MOST_GUESTS = 4


@pytest.mark.parametrize("name", ["skylake-2s", "sapphire-rapids-cdp"])
def test_our_plan_matches_libvirt_after_any_sequence_of_guests(
    name: str, tmp_path: Path, libvirt_here: None  # noqa: ARG001
) -> None:  # fmt: skip
    chance = random.Random(f"{name} {SEED}")  # noqa: S311 - no secret
    terms = terms_of(HOSTS[name])
    running: list[str] = []
    verdicts: list[str] = []
    with LibvirtHost(HOSTS[name]) as host:
        fs = SysfsResctrl(host.resctrl)
        prepare(fs, host.profile, "room")
        for number in range(STEPS):
            full = len(running) == MOST_GUESTS or verdicts[-1:] == ["refused"]
            if running and (full or chance.random() < 0.3):
                host.destroy(running.pop(chance.randrange(len(running))))
            guest, body = f"guest{number}", random_body(terms, chance)
            before = read_host(fs, host.root / "sys")
            asked = host.create(domain(guest, body))
            if asked.returncode:
                verdicts.append("refused")
                assert not fits(before, domain(guest, body)), f"{asked.stderr} {body}"
                continue
            running.append(guest)
            verdicts.append("started")
            after = read_host(fs, host.root / "sys")
            assert values(carried_out(host, guest, body, before, tmp_path / guest)) == values(after), body
    assert verdicts.count("started") >= STEPS // 4


def random_body(terms: Terms, chance: random.Random) -> str:
    """One to three groups of vCPUs, each with caches, bandwidth or both, and monitors in some."""
    vcpus = list(range(VCPUS))
    chance.shuffle(vcpus)
    cuts = sorted(chance.sample(range(1, VCPUS), chance.randint(0, 2)))
    parts = [vcpus[a:b] for a, b in zip([0, *cuts], [*cuts, VCPUS], strict=True)]
    return "".join(_random_group(terms, part, chance) for part in parts)


def _random_group(terms: Terms, vcpus: list[int], chance: random.Random) -> str:
    listed = ",".join(map(str, vcpus))
    ids = chance.sample([terms.first, terms.last], chance.randint(1, 2)) if terms.first != terms.last else [terms.first]
    types = ["code", "data"] if terms.type == "code" else ["both"]
    caches = [
        terms.cache(chance.choice([1, 1, 2, 3]), at, kind) for at in ids for kind in types if chance.random() < 0.8
    ]  # fmt: skip
    inside = [*caches, *(watch(str(vcpu)) for vcpu in vcpus if caches and chance.random() < 0.3)]
    bandwidth = memory(listed, node(terms.last, 10 * chance.randint(1, 10))) if chance.random() < 0.4 else ""
    return (tune(listed, *inside) if inside else "") + bandwidth


def fits(before: Host, xml: str) -> bool:
    """Whether we would plan this guest."""
    loaded = load(xml.encode(), "guest.xml")
    if loaded.domain is None:
        return False
    try:
        plan(loaded.domain, before)
    except PlanRefusedError:
        return False
    return True


def carried_out(host: LibvirtHost, name: str, body: str, before: Host, run: Path) -> Host:
    """The host as it was before the guest, rehearsed, after our plan for it as it runs now."""
    loaded = load(domain(name, body).encode(), "guest.xml")
    assert loaded.domain, loaded.findings
    resctrl = simulate_host(before)
    connection = Connection(resctrl, run, sysfs=host.root / "sys")
    guest = find_guest(host.pid(name), host.root / "proc")
    for thread in guest.threads:
        resctrl.add_task(thread.tid)
    number = host.virsh("domid", name, check=True).stdout.strip()
    planned = plan_guests(
        [GuestRequest(loaded.domain, guest, f"qemu-{number}-{name}")], connection.look(Ledger()), Options()
    )
    assert apply(planned, connection).exit_code == 0
    return connection.look(Ledger())


def values(host: Host) -> dict[str, tuple[object, ...]]:
    """All groups but the default one by path: masks, bandwidth, and the threads in them."""
    groups: list[Group] = [g for g in host.groups if g.path != "."]
    return {g.path: (g.masks, g.bandwidth, sorted(g.tids)) for g in groups}
