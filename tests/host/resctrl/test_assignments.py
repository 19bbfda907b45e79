"""mbm_L3_assignments: reading its lines, and the write that makes a group's counters so."""

import pytest

from cachetune.host.resctrl.assignments import format_assignments, format_command, parse

RECORDED = "mbm_total_bytes:0=_;1=e\nmbm_local_bytes:0=e;1=e\n"  # Linux 7.3.4
ASSIGNED = {"mbm_total_bytes": {0: False, 1: True}, "mbm_local_bytes": {0: True, 1: True}}


def test_what_the_kernel_prints_is_read_and_formatted_on_one_line() -> None:
    assert parse(RECORDED) == (ASSIGNED, ())
    assert format_assignments(ASSIGNED) == "mbm_total_bytes:0=_;1=e mbm_local_bytes:0=e;1=e"
    assert parse(format_assignments(ASSIGNED)).assigned == ASSIGNED


def test_a_write_releases_counters_before_it_assigns_others() -> None:
    assert format_command(ASSIGNED) == "mbm_total_bytes:0=_\nmbm_total_bytes:1=e\nmbm_local_bytes:0=e;1=e\n"


@pytest.mark.parametrize(
    "line", ["mbm_total_bytes", "mbm_total_bytes:", "mbm_total_bytes:0=x", "a:0=e;", ":0=e", "A:*=e"]
)
def test_a_line_of_another_form_is_kept_apart(line: str) -> None:
    assert parse(f"{RECORDED}{line}\n") == (ASSIGNED, (line,))
