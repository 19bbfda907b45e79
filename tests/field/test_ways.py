"""Ways on hosts as people reported them: those that devices use, those that others have, and what is left."""

from pathlib import Path

import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.plan import Options
from cachetune.plan.steps import WriteSchemata
from tests.field.hosts import (
    CONTAINERS,
    EXCLUSIVE,
    IO_ALLOC,
    L3_WAY,
    ONLY_IO_WAYS_FREE,
    SHRINK,
    guest,
    host,
    l3,
    planned,
    refused,
    rules,
    text,
    warning,
)
from tests.host.trees import below, group
from tests.samples import GUEST, host_with_guest


def test_ways_of_io_alloc_stay_with_the_default_group(tmp_path: Path) -> None:
    made = planned(guest(l3(8192)), host(IO_ALLOC, tmp_path), options=SHRINK)
    assert made.steps[0] == WriteSchemata(".", "L3:0=ffff\n", "L3:0=0fff\n")
    assert made.groups[0].schemata.masks["L3"] == {0: 0xF000, 1: 0xFFFF}
    assert rules(made) == []
    assert "L3 0  dddddddddddddddd ffff -> ----dddddddddddd 0fff" in text(made)
    assert "\n                      ^^^^  ^^^^\n" in text(made), "below both masks of the default group"
    assert "L3 0  AAAA------------ f000  8 MiB" in text(made)


def test_a_kernel_with_io_alloc_keeps_its_ways_apart_from_the_guests(tmp_path: Path) -> None:
    sim = host_with_guest("turin", kernel="7.3")
    sim.write("info/L3/io_alloc", "1\n")
    sim.write("info/L3/io_alloc_cbm", "0=000f\n")
    connection = Connection(sim, tmp_path)
    asked = guest(l3(8192) + l3(8192, 1).replace("0-1", "2"))
    report = apply(planned(asked, connection.look(Ledger()), GUEST, SHRINK), connection)
    assert report.outcome == "done"
    after = connection.look(Ledger())
    io = [after.caches[0].io_ways(i) for i in (0, 1)]
    first, second = (after.group(f"cachetune-web-vcpus_{vcpus}") for vcpus in ("0-1", "2"))
    assert first is not None
    assert second is not None
    assert (io[0], first.masks["L3"][0] & io[0]) == (0x000F, 0)
    assert io[1] == 0xFFFF, "io_alloc begins with every way, so on cache 1 none can be avoided"
    assert second.masks["L3"][1] == 0x000F


def test_ways_of_io_alloc_are_used_with_a_warning_if_no_others_are_free(tmp_path: Path) -> None:
    shrunk = {**IO_ALLOC, "schemata": "L3:0=fff0;1=fff0\nMB:0=4096;1=4096", "size": "L3:0=25165824;1=25165824"}
    made = planned(guest(l3(8192)), host(shrunk, tmp_path))
    found = warning(made, "CT217")
    assert found.message == "mask f on L3 cache 0 includes ways shared with I/O (f)"
    assert found.hint == (
        "give f back to the default group (L3:0=ffff in its schemata) and plan with --shrink-default, "
        "or give devices other ways (info/L3/io_alloc_cbm)"
    )


def test_where_devices_use_every_way_only_they_can_give_way(tmp_path: Path) -> None:
    everything = {**IO_ALLOC, "info/L3/io_alloc_cbm": "0=ffff;1=000f", "info/L3/bit_usage": f"0={'X' * 16}"}
    made = planned(guest(l3(8192)), host(everything, tmp_path), options=SHRINK)
    assert warning(made, "CT217").hint == "give devices other ways (info/L3/io_alloc_cbm)"


@pytest.mark.parametrize("options", [SHRINK, Options()], ids=["with --shrink-default", "without"])
def test_the_way_out_of_ways_shared_with_io_is_true(options: Options, tmp_path: Path) -> None:
    made = planned(guest(l3(2 * L3_WAY)), host(ONLY_IO_WAYS_FREE, tmp_path), options=options)
    advice = "give 600 back to the default group (L3:0=7ff in its schemata) and plan with --shrink-default"
    assert warning(made, "CT217").hint == advice
    followed = {**ONLY_IO_WAYS_FREE, "schemata": "L3:0=7ff;1=1ff\nMB:0=100;1=100", "size": "L3:0=25952256;1=21233664"}
    again = planned(guest(l3(2 * L3_WAY)), host(followed, tmp_path / "followed"), options=SHRINK)
    assert again.groups[0].schemata.masks["L3"][0] == 0x003
    assert rules(again) == []


def test_the_most_that_fits_beside_an_exclusive_group_is_named(tmp_path: Path) -> None:
    on = host(EXCLUSIVE, tmp_path)
    found = refused(guest(l3(8 * L3_WAY)), on, SHRINK)
    assert (found.rule, found.hint) == ("CT207", "at most 7 ways (15.75 MiB) fit")
    without = refused(guest(l3(8 * L3_WAY)), on)
    assert without.hint == "at most 2 ways (4.5 MiB) fit; with --shrink-default at most 7 ways (15.75 MiB) fit"
    assert planned(guest(l3(7 * L3_WAY)), on, options=SHRINK).groups[0].schemata.masks["L3"][0] == 0x1FC


# The default group has two ways, and so has a group that says which in a damaged file.
DAMAGED = {
    **ONLY_IO_WAYS_FREE,
    "schemata": "L3:0=600;1=600\nMB:0=100;1=100",
    "size": "L3:0=4718592;1=4718592",
    **below("batch", group("L3:0=06;1=zz", "700")),
}
IN_USE = {**DAMAGED, "info/L3/bit_usage": "0=XX00SS00000;1=XX00SS00000"}


def test_ways_of_a_group_that_cannot_be_read_are_not_given_away(tmp_path: Path) -> None:
    on = host(IN_USE, tmp_path)
    made = planned(guest(l3(6 * L3_WAY, 1)), host(DAMAGED, tmp_path / "unknown"))
    assert made.groups[0].schemata.masks["L3"][1] == 0x03F, "what happens without bit_usage"
    found = refused(guest(l3(6 * L3_WAY, 1)), on)
    assert "7 free, largest hole 5" in found.message
    made = planned(guest(l3(5 * L3_WAY, 1)), on)
    assert made.groups[0].schemata.masks["L3"][1] == 0x01F
    assert rules(made) == []


def test_without_bit_usage_a_plan_warns_of_ways_that_it_may_give_away(tmp_path: Path) -> None:
    made = planned(guest(l3(4 * L3_WAY, 1)), host(DAMAGED, tmp_path))
    assert warning(made, "CT228").message.startswith("the ways of group 'batch' on L3 cache 1 are unknown")


@pytest.mark.parametrize("options", [SHRINK, Options()], ids=["with --shrink-default", "without"])
def test_where_others_have_every_way_a_smaller_request_is_not_recommended(options: Options, tmp_path: Path) -> None:
    found = refused(guest(l3(6144)), host(CONTAINERS, tmp_path), options)
    container = "0123456789abcdef" * 4
    assert found.message == (
        "no room for 2 ways (6 MiB) on L3 cache 0: 0 free, largest hole 0; the default group has fff, "
        f"{container} (containers) has fff, goresctrl.BestEffort (containers) has 7, "
        "goresctrl.Guaranteed (containers) has ff8"
    )
    assert found.hint == (
        f"nothing is left to give until other groups have fewer ways: {container} (containers), "
        "goresctrl.BestEffort (containers) and goresctrl.Guaranteed (containers)"
    )


def test_where_every_way_has_an_owner_a_size_that_is_not_valid_is_not_advised_to_be_another(tmp_path: Path) -> None:
    on = host(CONTAINERS, tmp_path)
    for options in (SHRINK, Options()):
        hint = refused(guest(l3(4608)), on, options).hint
        assert hint.startswith("nearest valid: 3 MiB or 6 MiB; or plan with --round; but nothing is left to give until")
        assert hint.endswith("goresctrl.BestEffort (containers) and goresctrl.Guaranteed (containers)")
