"""Answers of QMP that are right in type, but that no QEMU gives."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cachetune.errors import SourceUnavailableError
from cachetune.guests.sources import qmp
from tests.guests.lookalike import search

SOCKET = Path("/run/web.qmp")
CASES: dict[str, tuple[list[dict[str, int]], str]] = {
    "a vCPU twice": ([{"cpu-index": 0, "thread-id": 11}, {"cpu-index": 0, "thread-id": 12}], "vCPU '0' occurs 2 times"),
    "a vCPU below": ([{"cpu-index": -1, "thread-id": 11}], "there is no vCPU -1"),
    "a vCPU beyond": ([{"cpu-index": 16384, "thread-id": 11}], "there is no vCPU 16384"),
    "no thread": ([{"cpu-index": 0, "thread-id": 0}], "0 is not the id of a thread"),
    "a thread beyond": ([{"cpu-index": 0, "thread-id": 1 << 31}], "2147483648 is not the id of a thread"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_contradiction_is_named(case: str) -> None:
    cpus, message = CASES[case]
    said: dict[str, Any] = {"cpus": cpus, "iothreads": [], "name": {"name": "web"}, "uuid": {"UUID": "no"}}
    with mock.patch.object(qmp, "_ask", return_value=(said, 1, 0)), pytest.raises(SourceUnavailableError) as caught:
        qmp.look(search((), qmp=SOCKET))
    assert f"{SOCKET} does not answer like QEMU: {message}" in str(caught.value)


IOTHREADS = {
    "an iothread twice": (
        [{"id": "io1", "thread-id": 11}, {"id": "io1", "thread-id": 12}],
        "iothread 'io1' occurs 2 times",
    ),
    "no thread": ([{"id": "io1", "thread-id": -1}], "-1 is not the id of a thread"),
    "that of a vCPU": ([{"id": "io1", "thread-id": 10}], "vCPU 3 and iothread 'io1' have the same thread"),
}


@pytest.mark.parametrize("case", IOTHREADS)
def test_a_contradiction_between_iothreads_is_named(case: str) -> None:
    iothreads, message = IOTHREADS[case]
    cpus = [{"cpu-index": 3, "thread-id": 10}]
    said: dict[str, Any] = {"cpus": cpus, "iothreads": iothreads, "name": {"name": "web"}, "uuid": {"UUID": "no"}}
    with mock.patch.object(qmp, "_ask", return_value=(said, 1, 0)), pytest.raises(SourceUnavailableError) as caught:
        qmp.look(search((), qmp=SOCKET))
    assert f"{SOCKET} does not answer like QEMU: {message}" in str(caught.value)
