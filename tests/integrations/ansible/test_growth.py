"""What a rollout costs for each host, and that it does not become more with the number of hosts.

``pytest -m soak tests/integrations/ansible/test_growth.py`` prints the table of docs/how-to/fleet.md.
"""

import resource
import time
from typing import NamedTuple

import pytest

from tests.integrations.ansible.fleet.fleet import Fleet, missing
from tests.integrations.ansible.fleet.hosts import Guest, HostSpec
from tests.integrations.ansible.fleet.site import Request, Run, Site
from tests.missing import skip_without

pytestmark = [pytest.mark.soak, pytest.mark.slow, pytest.mark.xdist_group("ansible-growth")]
SIZES = (6, 20, 60)
CACHE = "<cache id='0' level='3' type='both' size='4' unit='ways'/>"


class Cost(NamedTuple):
    """Of one run, for each host: seconds of the clock and of CPUs of the controller, and bytes in the network."""

    hosts: int
    run: str
    changed: int
    seconds: float
    cpu_seconds: float
    bytes: float


def measured(site: Site, name: str, hosts: int, *words: str) -> Cost:
    started, cpu = time.monotonic(), _cpu_seconds()
    run: Run = site.play("rollout", *words)
    assert run.code == 0, run.output
    seconds, cpu = time.monotonic() - started, _cpu_seconds() - cpu
    changed = sum(recap.changed for recap in run.recaps.values())
    return Cost(hosts, name, changed, seconds / hosts, cpu / hosts, sum(run.bytes.values()) / hosts)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def costs_of(hosts: int) -> list[Cost]:
    names = [f"node-{number}" for number in range(hosts)]
    specs = [HostSpec(name=name, profile="skylake-2s", guests=(Guest(name="web"),)) for name in names]
    with Fleet(specs) as fleet:
        site = Site(fleet, rollout_serial="100%", rollout_gate_seconds=0.5, rollout_doctor_ignore=["CT621"])
        site.assign({name: [Request("web", CACHE)] for name in names})
        runs = {"check mode": ["--check"], "first": [], "second": []}
        return [measured(site, name, hosts, *words) for name, words in runs.items()]


def test_the_cost_of_a_host_does_not_grow_with_the_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    if why := missing():
        skip_without(f"no fleet: {why}")
    costs = [cost for hosts in SIZES for cost in costs_of(hosts)]
    with capsys.disabled():
        print(table(costs))  # noqa: T201 - the table is the result
    few = {cost.run: cost for cost in costs if cost.hosts == SIZES[0]}
    for cost in costs:
        assert cost.changed == (0 if cost.run == "second" else cost.hosts)
        assert cost.bytes < 1.2 * few[cost.run].bytes
        assert cost.cpu_seconds < 1.5 * few[cost.run].cpu_seconds


def table(costs: list[Cost]) -> str:
    rows = [
        f"| {c.hosts} | {c.run} | {c.seconds:.1f} s | {c.cpu_seconds:.1f} s | {c.bytes / 1000:.0f} kB |" for c in costs
    ]
    heads = [
        "",
        "| hosts | run | time per host | CPU of the controller per host | bytes per host |",
        "| --- " * 5 + "|",
    ]
    return "\n".join([*heads, *rows])
