"""Whose host it is: what a snapshot says about the machine on which it was taken."""

import os
import re
import time
from pathlib import Path

from cachetune.host.model import Identity

_MODEL = re.compile(r"^model name[ \t]*:[ \t]*(.+)$", re.MULTILINE)
_LARGEST = 1 << 14  # the first processor is enough


def identity_of_machine(proc: Path) -> Identity:
    """The identity of this machine now. Arm's /proc/cpuinfo has no name of the processor."""
    system = os.uname()
    return Identity(hostname=system.nodename, taken=time.time(), kernel=system.release, cpu_model=_cpu_model(proc))


def _cpu_model(proc: Path) -> str:
    try:
        with (proc / "cpuinfo").open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
    match = _MODEL.search(text)
    return " ".join(match[1].split()) if match else ""
