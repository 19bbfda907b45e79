"""The reason for a refusal: compared with what kernels answered, and where another program has interfered."""

import errno
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.errors import ResctrlError
from cachetune.host.resctrl.reasons import reason_in, silence_about
from tests.conformance.answers import load
from tests.conformance.configurations import CONFIGURATIONS
from tests.conformance.on_files import STATUS
from tests.conformance.on_simulator import Simulator

LINES = (
    "No task 7",
    "Error while processing task 7",
    "Mask out of range",
    "MB value 5 out of range [10,100]",
    "Out of CLOSIDs",
    "Schemata overlaps",
    "schemata: Invalid input",
)


def refusals(name: str) -> Iterator[tuple[ResctrlError, str]]:
    """Replay a record: each refusal that could have a reason, with the content of last_cmd_status after it.

    A file that does not exist cannot be opened, so nothing is written and no reason is sought.
    """
    simulator = Simulator(CONFIGURATIONS[name])
    found: list[tuple[ResctrlError, str]] = []

    def watched(operation: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: str) -> None:
            opened = operation.__name__ != "write" or simulator.fs.exists(arguments[0])
            try:
                operation(*arguments)
            except ResctrlError as error:
                if opened:
                    found.append((error, simulator.fs.read(STATUS)))
                raise

        return call

    for kind in ("write", "mkdir", "rmdir"):
        setattr(simulator.fs, kind, watched(getattr(simulator.fs, kind)))
    for operation in load(CONFIGURATIONS[name].golden).operations:
        simulator.do(operation)
    yield from found


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_refusal_of_a_recorded_kernel_has_its_own_reason_or_none(name: str) -> None:
    # the simulated kernel, which answers as the record, knows which lines each operation has added
    count = 0
    for error, status in refusals(name):
        written = error.written
        says = reason_in(status, error.operation, error.path, error.errno, written)
        silence = silence_about(error.operation, error.path, error.errno, written)
        lines = says.split("; ") if says else []
        assert lines == error.kernel_says.split("; ")[: len(lines)], (error, status)
        if len(status) < 448:
            assert says or not error.kernel_says or not _is_ours(error), (error, status)
            assert silence != "lost" or error.kernel_says, (error, status)
        count += bool(says)
    assert count


def _is_ours(error: ResctrlError) -> bool:
    """Whether cachetune does such a thing: it writes few files, and thread ids only as plain decimal numbers."""
    name = error.path.rpartition("/")[2]
    if name == "tasks":
        return set(error.written or "") <= set("0123456789,\n")
    return error.operation == "mkdir" or name in {"schemata", "mode", "cpus_list", "io_alloc", "mbm_L3_assignments"}


@pytest.mark.parametrize(
    ("operation", "path", "number", "written", "status"),
    [
        # an older command's text, which a failure before the command starts leaves as it was
        ("write", "web/schemata", errno.EINVAL, "L3:0=f", "Mask out of range\n"),
        ("write", "web/mode", errno.EINVAL, "exclusive", "Schemata overlaps\n"),
        ("write", "web/schemata", errno.E2BIG, "L3:" + "0=f;" * 1500 + "\n", "Requested region exceeds maximum size\n"),
        ("write", "web/schemata", errno.ENODEV, "L3:0=f\n", "Mask out of range\n"),
        ("write", "web/tasks", errno.EINVAL, "1,2\n", "Can't move task to different control group\n"),
        ("write", "web/tasks", errno.EINVAL, "1,2\n", "Pseudo-locking in progress\n"),
        ("mkdir", "web", errno.EPERM, None, "Out of CLOSIDs\n"),
        ("mkdir", "web", errno.EEXIST, None, "Out of CLOSIDs\n"),
        ("rmdir", "web", errno.EBUSY, None, "Out of CLOSIDs\n"),
        ("write", "info/L3_MON/max_threshold_occupancy", errno.EINVAL, "x\n", "Mask out of range\n"),
        # a full buffer, to which nothing was added
        ("mkdir", "web", errno.ENOSPC, None, "Out of CLOSIDs\n" * 33),
        ("write", "web/cpus_list", errno.EINVAL, "9\n", "Bad CPU list/mask\n" * 28),
        # another program's command, between the failure and the look
        ("write", "web/schemata", errno.EINVAL, "L3:0=f\n", "No task 7\nError while processing task 7\n"),
        ("write", "web/schemata", errno.EINVAL, "L3:0=f\n", "Out of CLOSIDs\n"),
        ("write", "web/schemata", errno.EINVAL, "L3:0=f\n", "The mask 5 has non-consecutive 1-bits\n"),
        ("write", "web/schemata", errno.EINVAL, "MB:0=5\n", "MB value 300 out of range [10,100]\n"),
        ("write", "web/schemata", errno.EINVAL, "L3:0=f\n", "Unknown or unsupported resource name 'L2'\n"),
        ("write", "web/tasks", errno.ESRCH, "17\n", "No task 7\nError while processing task 7\n"),
        ("write", "web/mode", errno.EINVAL, "exclusive\n", "Mask out of range\n"),
        ("write", "web/cpus_list", errno.EINVAL, "1\n", "Out of RMIDs\n"),
        ("mkdir", "web", errno.ENOSPC, None, "Unknown or unsupported mode\n"),
        # a reader: since Linux 7.3, it clears the text
        ("write", "web/schemata", errno.EINVAL, "L3:0=f\n", "ok\n"),
        ("mkdir", "web", errno.ENOSPC, None, "ok\n"),
        ("mkdir", "web", errno.ENOSPC, None, ""),
    ],
)
def test_a_text_for_another_command_is_no_reason(
    operation: str, path: str, number: int, written: str | None, status: str
) -> None:
    assert reason_in(status, operation, path, number, written) == ""


@pytest.mark.parametrize(
    ("operation", "path", "number", "written", "status", "says"),
    [
        ("write", "web/schemata", errno.EINVAL, "L3:0=f", "schemata: Invalid input\n", "schemata: Invalid input"),
        ("write", "web/mode", errno.EINVAL, "x", "mode: Invalid input\n", "mode: Invalid input"),
        ("mkdir", "web", errno.ENOSPC, None, "Unknown or unsupported mode\nOut of CLOSIDs\n", "Out of CLOSIDs"),
        ("mkdir", "web", errno.EBUSY, None, "Out of RMIDs\n", "Out of RMIDs"),
        (
            "write",
            "info/L3/io_alloc",
            errno.ENOSPC,
            "1\n",
            "CLOSID (ctrl_hw_id) 15 for io_alloc is used by g group\n",
            None,
        ),
        # another program's mkdir has added its line to ours
        ("write", "web/mode", errno.EINVAL, "exclusive\n", "Schemata overlaps\nOut of CLOSIDs\n", "Schemata overlaps"),
        ("write", "web/schemata", errno.EINVAL, "L3:0=005\n", "The mask 5 has non-consecutive 1-bits\n", None),
        ("write", "web/tasks", errno.EINVAL, "7\n", "Can't move task to different control group\n", None),
        ("write", "web/tasks", errno.ESRCH, "3,7\n", "No task 7\nError while processing task 7\n", None),
        (
            "write",
            "info/L3_MON/max_threshold_occupancy",
            errno.EINVAL,
            "9999999999\n",
            "max_threshold_occupancy: Exceeds limit (before adjustment) of 43253760 bytes\n",
            None,
        ),
        (
            "write",
            "web/schemata",
            errno.EINVAL,
            f"L3:0={'f' * 600}\n",
            f"Non-hex character in the mask {'f' * 480}[truncated]\n",
            f"Non-hex character in the mask {'f' * 480}",
        ),
        (
            "write",
            "web/mbm_L3_assignments",
            errno.ENOSPC,
            "mbm_total_bytes:0=e\n",
            "Failed to allocate counter for mbm_total_bytes in domain 0\n",
            None,
        ),
    ],
)
def test_the_text_for_this_command_is_the_reason(
    operation: str, path: str, number: int, written: str | None, status: str, says: str | None
) -> None:
    expected = "; ".join(status.splitlines()) if says is None else says
    assert reason_in(status, operation, path, number, written) == expected


@pytest.mark.parametrize(
    ("operation", "path", "number", "written", "silence"),
    [
        ("mkdir", "web", errno.ENOSPC, None, "lost"),
        ("mkdir", "web", errno.EBUSY, None, "lost"),
        ("mkdir", "web", errno.EROFS, None, "usual"),
        ("rmdir", "web", errno.EBUSY, None, "usual"),
        ("write", "web/tasks", errno.ESRCH, "7\n", "lost"),
        ("write", "web/tasks", errno.EINVAL, "7\n", "lost"),
        ("write", "web/tasks", errno.EINVAL, "7,8\n", "possible"),
        ("write", "web/tasks", errno.ENODEV, "7\n", "usual"),
        ("write", "web/schemata", errno.EINVAL, "L3:9=f\n", "possible"),
        ("write", "web/schemata", errno.EACCES, "L3:9=f\n", "usual"),
        ("write", "web/mode", errno.EINVAL, "exclusive\n", "lost"),
        ("write", "web/mode", errno.EINVAL, "exclusive", "possible"),
        ("write", "web/cpus_list", errno.ERANGE, "9\n", "lost"),
        ("read", "web/schemata", errno.EINVAL, None, "usual"),
    ],
)
def test_no_reason_means_one_of_three_things(
    operation: str, path: str, number: int, written: str | None, silence: str
) -> None:
    assert silence_about(operation, path, number, written) == silence


@given(
    status=st.lists(st.sampled_from([*LINES, "ok", "", "x" * 300]) | st.text(max_size=40), max_size=8).map("\n".join),
    command=st.sampled_from([("mkdir", "g"), *(("write", f"g/{name}") for name in ("tasks", "schemata", "mode", "x"))]),
    number=st.sampled_from([errno.EINVAL, errno.ENOSPC, errno.ESRCH, errno.EPERM, errno.EIO]),
    written=st.sampled_from(["7\n", "7,8\n", "L3:0=f\n", "MB:0=5\n", "exclusive\n", "", "\0"]),
)
def test_a_reason_is_always_made_of_lines_of_the_file(
    status: str, command: tuple[str, str], number: int, written: str
) -> None:
    operation, path = command
    says = reason_in(status, operation, path, number, None if operation == "mkdir" else written)
    assert all(line in status for line in says.split("; "))
    assert not says or silence_about(operation, path, number, written) != "usual"
