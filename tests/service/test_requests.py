"""Requests of running guests: what is refused, in words that count correctly."""

from pathlib import Path

import pytest

from cachetune.errors import InputError
from cachetune.guests.sources.options import SourceOptions
from cachetune.service.connection import Location
from cachetune.service.requests import make_requests
from cachetune.service.select import Selection
from tests.guests.lookalike import add_process


@pytest.mark.parametrize(
    ("guests", "message"),
    [
        (0, "no guests are running"),
        (1, "no tuning file and no tuning in the live XML of 1 running guest"),
        (2, "no tuning file and no tuning in the live XML of 2 running guests"),
    ],
)
def test_guests_without_tuning_are_counted(guests: int, message: str, tmp_path: Path) -> None:
    for number in range(1, guests + 1):
        threads = {100 * number: "main", 100 * number + 1: "CPU 0/KVM"}
        add_process(tmp_path, 100 * number, threads, arguments=["kvm", "-name", f"guest=web{number}"])
    sources = SourceOptions(libvirt_run=tmp_path / "libvirt", cgroup=tmp_path / "cgroup", proc=tmp_path)
    with pytest.raises(InputError) as caught:
        make_requests(Selection(all_guests=True, sources=sources), None, Location())
    assert str(caught.value) == message
