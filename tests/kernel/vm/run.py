"""Run one command under an unmodified kernel that has a resctrl file system, and bring back what it printed.

The command runs as root, sees the host's files (its writes stay in memory and are lost, except in shared
directories) and /sys/fs/resctrl mounted as requested. ``Result`` also has what the kernel wrote into the
processor's registers.
"""

import contextlib
import dataclasses
import functools
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.kernel.vm import image, kernels
from tests.kernel.vm.guest import BOOTS, CPUID, RDMSR, WRMSR, BootError, Guest, Sink
from tests.kernel.vm.kernels import Kernel
from tests.kernel.vm.machine import Machine
from tests.kernel.vm.packages import VmError
from tests.kernel.vm.rdt import HwState

PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "TERM",
    "TZ",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "VIRTUAL_ENV",
)


@dataclasses.dataclass(frozen=True)
class Result:
    """What the command printed, its exit status, and the RDT registers at the end.

    ``marks`` has the registers of earlier moments: those when the command wrote "mark NAME" to /dev/kernelvm.
    """

    stdout: str
    stderr: str
    status: int
    hw_state: HwState
    marks: dict[str, HwState]


def run(
    command: Sequence[str],
    *,
    machine: Machine | None = None,
    cdp: bool = False,
    options: str = "",
    mount: bool = True,
    extra_modules: bool = False,
    rw: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    cpu_limit: float = 900,
    sinks: Mapping[str, Sink] | None = None,
) -> Result:
    """Boot the machine, run the command in the current directory, and end the machine.

    ``options`` are resctrl's mount options and ``cdp`` adds that one. ``extra_modules`` are those for vhost. Writes
    below the ``rw`` directories reach the host. ``sinks`` ("out", "err") get the output as it comes. A boot
    that hangs is repeated. Raises VmError when the machine is not available or fails, StalledError when it makes no
    progress or has used ``cpu_limit`` seconds of CPU time.
    """
    machine = machine or Machine()
    shares = [path.resolve() for path in rw]
    job = _job(command, env or {}, [*(["cdp"] if cdp else []), *filter(None, [options])] if mount else None, shares)
    kept = _Kept(sinks or {})
    traps = prepare(machine.kernel)
    status, guest = _booted(machine, job, traps, shares, sinks=kept.sinks, cpu_limit=cpu_limit, extra=extra_modules)
    guest.close()
    return kept.result(status, guest)


class Machines:
    """Machines that stay booted between runs, for booting takes longer than most commands. Close it at the end.

    Each run has its own mounts, resctrl as a new kernel has it, and no process of the one before. Only machines
    without registers are kept; what a kernel does not forget, such as loaded modules, stays.
    """

    def __init__(self, most: int = 5) -> None:
        """``most`` is how many are kept."""
        self._most = most
        self._resting: dict[tuple[Machine, bool], Guest] = {}

    def run(
        self,
        command: Sequence[str],
        *,
        machine: Machine,
        cdp: bool = False,
        options: str = "",
        extra_modules: bool = False,
        env: Mapping[str, str] | None = None,
        cpu_limit: float = 900,
    ) -> Result:
        """Run a command as the function ``run`` does."""
        key = machine, extra_modules
        kept = _Kept({})
        job = _job(command, env or {}, [*(["cdp"] if cdp else []), *filter(None, [options])], [])
        guest = self._resting.pop(key, None)
        if guest is None:
            traps = prepare(machine.kernel)
            status, guest = _booted(machine, job, traps, (), sinks=kept.sinks, cpu_limit=cpu_limit, extra=extra_modules)
        else:
            with _closed_on_error(guest):
                guest.wake(job)
                status = guest.run(kept.sinks, cpu_limit)
        self._keep(key, guest)
        return kept.result(status, guest)

    def close(self) -> None:
        """End the machines."""
        for guest in self._resting.values():
            guest.close()
        self._resting.clear()

    def _keep(self, key: tuple[Machine, bool], guest: Guest) -> None:
        if key[0].registers:
            guest.close()
            return
        with contextlib.suppress(VmError), _closed_on_error(guest):
            guest.rest()
            self._resting[key] = guest
        while len(self._resting) > self._most:
            self._resting.pop(next(iter(self._resting))).close()


def prepare(kernel: Kernel = kernels.DEFAULT_KERNEL) -> dict[int, bytes]:
    """Have the kernel fetched, made ready and looked at; what to trap: address to instruction.

    Debian ships no System.map, so the first boot of a kernel, without traps, reads its symbols. Raises
    VmError that says what is missing.
    """
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static")):
        if not shutil.which(program):
            raise VmError(f"{program} is missing (Debian package {package})")
    cache = kernels.cache_directory()
    with kernels.exclusive(cache):
        root = kernels.kernel_directory(cache, kernel)
        elf = image.elf_kernel(root)
        saved = root / "symbols.json"
        if not saved.exists():
            new = saved.with_suffix(".new")
            new.write_text(json.dumps(_read_symbols(kernel)))
            new.rename(saved)
    traps = {}
    for function, address in json.loads(saved.read_text()).items():
        code = CPUID if "cpuid" in function else RDMSR if "read" in function else WRMSR
        traps[image.find_code(elf, address, code)] = code
    return traps


@functools.cache
def missing(kernel: Kernel) -> str:
    """Why a kernel cannot be booted here; empty if it can. The answer is kept."""
    try:
        prepare(kernel)
    except VmError as error:
        return str(error)
    return ""


def _read_symbols(kernel: Kernel) -> dict[str, int]:
    printed: list[bytes] = []
    sinks = {"out": printed.append, "err": printed.append}
    _, guest = _booted(Machine(kernel=kernel), {"symbols": ""}, {}, (), sinks=sinks, cpu_limit=300)
    guest.close()
    rows = [line.split() for line in b"".join(printed).decode().splitlines()]
    table = {name: int(address, 16) for address, _, name in rows}
    if "native_cpuid" not in table:
        raise VmError(f"the kernel's symbols cannot be read: {rows}")
    return table


def _booted(
    machine: Machine,
    job: Mapping[str, str],
    traps: Mapping[int, bytes],
    shares: Sequence[Path],
    *,
    sinks: Mapping[str, Sink],
    cpu_limit: float,
    extra: bool = False,
) -> tuple[int, Guest]:
    """The job's status, and the machine that ran it. A boot that hangs is repeated."""
    root = kernels.kernel_directory(kernels.cache_directory(), machine.kernel)
    for attempt in range(1, BOOTS + 1):
        initrd = image.initramfs(root, job, extra=extra)
        guest = Guest(machine, image.elf_kernel(root), initrd, traps=traps, shares=shares)
        try:
            with _closed_on_error(guest):
                return guest.run(sinks, cpu_limit), guest
        except BootError:
            if attempt == BOOTS:
                raise
    raise AssertionError


@contextlib.contextmanager
def _closed_on_error(guest: Guest) -> Iterator[None]:
    try:
        yield
    except BaseException:
        guest.close()
        raise


def _job(
    command: Sequence[str], env: Mapping[str, str], options: Sequence[str] | None, shares: Sequence[Path]
) -> dict[str, str]:
    """The files of a job; without ``options`` resctrl is not mounted."""
    return {
        "script": _script(command, env),
        "resctrl": "" if options is None else ",".join(options) or "rw",
        "shares": "".join(f"rw{number} {path}\n" for number, path in enumerate(shares)),
        "now": str(int(time.time())),
    }


def _script(command: Sequence[str], env: Mapping[str, str]) -> str:
    values = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(env)
    words = ["env", "-i", *(f"{name}={value}" for name, value in values.items()), *command]
    return f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(words)}\n"


class _Kept:
    """What a command prints, for its result; ``sinks`` get it, too."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        self._data: dict[str, list[bytes]] = {"out": [], "err": []}
        self.sinks = {name: _both(data, sinks.get(name)) for name, data in self._data.items()}

    def result(self, status: int, guest: Guest) -> Result:
        stdout, stderr = (b"".join(data).decode(errors="replace") for data in self._data.values())
        return Result(stdout, stderr, status, guest.registers.state(), guest.marks)


def _both(kept: list[bytes], sink: Sink | None) -> Sink:
    def receive(data: bytes) -> None:
        kept.append(data)
        if sink:
            sink(data)

    return receive
