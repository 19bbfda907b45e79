"""Whose host it is: the machine, its kernel and its processor, as far as they are known."""

import os
import time
from pathlib import Path

import pytest

from cachetune.host.identity import identity_of_machine


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (
            "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) Gold 6140 CPU\n",
            "Intel(R) Xeon(R) Gold 6140 CPU",
        ),
        ("model name : AMD EPYC   7763\nmodel name : another\n", "AMD EPYC 7763"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", ""),
        ("", ""),
    ],
    ids=["Intel", "AMD", "Arm", "an empty file"],
)
def test_the_processor_is_the_first_in_cpuinfo(tmp_path: Path, text: str, model: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert identity_of_machine(tmp_path).cpu_model == model


def test_without_cpuinfo_the_rest_is_known(tmp_path: Path) -> None:
    found = identity_of_machine(tmp_path)
    assert (found.hostname, found.kernel, found.cpu_model) == (os.uname().nodename, os.uname().release, "")
    assert abs(found.taken - time.time()) < 60
