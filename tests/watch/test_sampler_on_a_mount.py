"""The sampler on a mounted resctrl, where open files belong to one group and keep it from being unmounted."""

from collections.abc import Iterator

import pytest

from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.watch.sampler import Sampler, rates
from tests import waiting
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse

FEATURES = {"L3": ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")}


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    need_fuse()
    with mounted(tmp_path_factory.mktemp("sampler") / "mount", profile="skylake-2s") as fs:
        yield fs


@pytest.fixture
def sampler(mount: Mounted) -> Iterator[Sampler]:
    with Sampler(lambda: SysfsResctrl(mount.root), lambda: FEATURES, events={"mbm_total_bytes"}) as sampler:
        yield sampler


def test_counters_grow_and_have_rates(sampler: Sampler) -> None:
    first = sampler.sample()
    waiting.until(lambda: sampler.sample().groups["."].values != first.groups["."].values, "the counters")
    second = sampler.sample()
    assert None not in rates(first.groups["."], second.groups["."])
    assert max(rates(first.groups["."], second.groups["."])) > 0  # type: ignore[type-var]


def test_a_group_that_replaces_another_of_its_name_begins_without_a_rate(mount: Mounted, sampler: Sampler) -> None:
    mount.mkdir("web")
    first = sampler.sample().groups["web"]
    mount.rmdir("web")
    mount.mkdir("web")
    later = [sample.groups["web"] for _ in range(4) if "web" in (sample := sampler.sample()).groups]
    mount.rmdir("web")
    assert {group.group is later[0].group for group in later} == {True}
    assert set(rates(first, later[0])) == {None}
    assert None not in rates(later[0], later[-1])
