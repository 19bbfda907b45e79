"""iothreads, vhost workers and emulator threads on real kernels: each is found, and gets its own group.

On 6.1 a vhost worker is a kernel thread, a separate process; later it is a thread of the process, unless a
kernel thread is requested. The worker is real: a process owns a vhost-vsock device.
"""

import json

import pytest

from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.hosts import WAY_KIB, host
from tests.kernel.scenarios.other_threads import Outcome
from tests.kernel.scenarios.vhost_process import Who

pytestmark = pytest.mark.kernel
WEB = "cachetune-web"


def cache(ways: int) -> str:
    return f"<cache id='0' level='3' type='both' size='{ways * WAY_KIB}' unit='KiB'/>"


TUNING = f"""<cputune>
  <cachetune vcpus='0-2'>{cache(2)}</cachetune>
  <cachetune threads='iothreads'>{cache(1)}<monitor level='3' threads='iothreads:2'/></cachetune>
  <cachetune threads='vhost'>{cache(1)}</cachetune>
  <memorytune threads='emulator'><node id='0' bandwidth='30'/></memorytune>
</cputune>"""


@pytest.fixture(scope="module", params=["6.1", "newest", pytest.param("6.12", marks=pytest.mark.soak)])
def kernel(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def outcome(kernel: str, scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = host(kernel, registers=False)
    found: Outcome = scenario("other_threads", Outcome, file_of(TUNING), machine=machine, extra_modules=True)[0]
    return found


def placed(groups: dict[str, dict[str, str]]) -> dict[str, set[int]]:
    return {
        path.removeprefix(f"{WEB}-"): set(map(int, group["tasks"].split()))
        for path, group in groups.items()
        if path.startswith(WEB)
    }


def expected(who: Who) -> dict[str, set[int]]:
    return {
        "vcpus_0-2": set(who.vcpus),
        "threads_iothreads": set(who.iothreads),
        f"threads_iothreads/mon_groups/{WEB}-threads_iothreads_2": {who.iothreads[1]},
        "threads_vhost": set(who.vhost),
        "threads_emulator": set(who.workers),
    }


def test_a_worker_is_a_kernel_thread_before_6_4_and_later_where_a_program_requests_it(
    outcome: Outcome, kernel: str
) -> None:
    """The first worker is what the kernel makes it, the second is requested as a kernel thread."""
    kinds = [tgid == worker for worker, tgid in zip(outcome.then.vhost, outcome.then.tgids, strict=True)]
    by_id = dict(zip(outcome.then.vhost, kinds, strict=True))
    first = outcome.first.vhost[0]
    (second,) = by_id.keys() - {first}
    assert (by_id[first], by_id[second]) == (kernel == "6.1", True)


def test_the_guest_is_listed_with_its_iothreads_and_workers(outcome: Outcome) -> None:
    (guest,) = json.loads(outcome.guests.out)["guests"]
    assert guest["iothreads"] == {f"iothread{n}": tid for n, tid in enumerate(outcome.first.iothreads, 1)}
    assert guest["vhost"] == list(outcome.first.vhost)


def test_each_thread_is_in_the_group_of_its_kind(outcome: Outcome) -> None:
    assert outcome.apply.code == 0, outcome.apply.err
    assert placed(outcome.groups) == expected(outcome.first)


def test_threads_that_started_later_are_drift_and_the_next_apply_places_them(outcome: Outcome) -> None:
    assert len(outcome.then.vhost) == 2
    assert outcome.diff.code == 1, outcome.diff.err
    assert outcome.again.code == 0, outcome.again.err
    assert placed(outcome.grown) == expected(outcome.then)
    assert outcome.no_changes.code == 0, outcome.no_changes.out


def test_remove_restores_the_kernel(outcome: Outcome) -> None:
    assert outcome.remove.code == 0, outcome.remove.err
    assert outcome.differences == ()
