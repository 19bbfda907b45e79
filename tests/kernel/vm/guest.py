"""One QEMU process: how it is started, how its RDT instructions are answered, how its output comes back.

A kernel with CONFIG_PARAVIRT_XXL, as Debian's are, executes every CPUID, RDMSR and WRMSR that matters in five
small functions. Each has a breakpoint on that one instruction. At a stop, an RDT leaf or register is
answered from the model (rdt) and the instruction is skipped; any other is stepped over. A boot has some
1300 stops.
"""

import contextlib
import dataclasses
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.kernel.vm.machine import Machine
from tests.kernel.vm.packages import VmError
from tests.kernel.vm.rdt import LOW32, HwState, registers
from tests.kernel.vm.rsp import Rsp, RspError
from tests.waiting import Progress, StalledError

CPUID: Final = b"\x0f\xa2"
RDMSR: Final = b"\x0f\x32"
WRMSR: Final = b"\x0f\x30"
PORTS: Final = ("control", "out", "err", "jobs")
BOOTS: Final = 3  # attempts
BOOT_CPU_SECONDS: Final = 120.0  # twenty times what the slowest machine needs
IDLE_SHARE: Final = 0.1  # of one CPU: the emulation of a guest that only sleeps uses half of that
Sink = Callable[[bytes], None]


class BootError(VmError):
    """The kernel has not reached its first program: now and then it hangs where it measures its clocks."""


class Guest:
    """A booting machine; ``run`` follows it to the end of its job, ``close`` ends it in any case.

    Between two jobs it ``rest``s, and ``wake`` gives it the next one.
    """

    def __init__(
        self,
        machine: Machine,
        kernel: Path,
        initrd: bytes,
        *,
        traps: Mapping[int, bytes],
        shares: Sequence[Path] = (),
        serves: Sequence[str] = (),
    ) -> None:
        """``traps`` maps address to instruction; ``shares`` are writable; ``serves``: see ``address``."""
        self.registers = registers(machine.rdt, machine.cache_of, time.monotonic)
        self.marks: dict[str, HwState] = {}
        self._traps = {at: code for at, code in traps.items() if machine.registers or code == CPUID}
        self._temporary = tempfile.TemporaryDirectory(prefix="kernelvm-")
        self._directory = directory = Path(self._temporary.name)
        self._console, self._log = directory / "console", directory / "qemu.log"
        (directory / "initrd").write_bytes(initrd)
        self._listeners = {name: self._listen(name) for name in PORTS}
        self._open_ports: dict[str, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        for name, listener in self._listeners.items():
            self._selector.register(listener, selectors.EVENT_READ, _Accept(name))
        self._gdb: Rsp | None = None
        self._booted = False
        self._freed = machine.registers or not traps
        self._jobs = 1
        self._status: int | None = None
        self._received_bytes = 0
        self._failure = ""
        command = [*machine.command(kernel, directory / "initrd"), *self._devices(shares, serves)]
        if traps:
            command += ["-S", "-gdb", f"unix:{directory / 'gdb'},server=on,wait=off"]
        with self._log.open("wb") as log:
            # setpriv: the machine must not outlive a test run that was killed
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],  # noqa: S607 - from util-linux, on every Debian
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, sinks: Mapping[str, Sink], cpu_limit: float) -> int:
        """Wait until the guest reports its status; what it writes goes to the sinks "out" and "err" as it arrives.

        Raises VmError with the end of the console when the guest fails, BootError when it hangs before it has booted,
        and StalledError when it makes no progress or its QEMU has used ``cpu_limit`` seconds of CPU time.
        """
        boot = self._progress("the boot of the guest", BOOT_CPU_SECONDS)
        progress = self._progress("the guest", cpu_limit)
        if self._traps and not self._gdb:
            self._gdb = self._attach(boot)
            self._selector.register(self._gdb, selectors.EVENT_READ, self._gdb)
        while self._status is None and not self._failure:
            self._turn(sinks)
            if self._booted:
                self._free()
                self._check(progress)
            else:
                self._check_boot(boot)
        self._drain(sinks)
        if self._status is None:
            raise VmError(f"{self._messages()}\nthe guest failed {self._failure}")
        return self._status

    def rest(self) -> None:
        """Stop the processors: a machine that waits takes CPU time. Raises VmError if they do not stop."""
        try:
            assert self._gdb
            self._gdb.interrupt()
        except (RspError, OSError) as error:
            raise VmError(f"the guest does not stop: {error}") from None

    def wake(self, job: Mapping[str, str]) -> None:
        """Let the processors run again, with another job; ``run`` follows it."""
        assert self._gdb
        directory = self._directory / f"job-{self._jobs}"  # a new one: the machine remembers what it has seen
        directory.mkdir()
        for name, text in job.items():
            (directory / name).write_text(text)
        self._jobs, self._status, self.marks = self._jobs + 1, None, {}
        self._open_ports["jobs"].sendall(f"{directory}\n".encode())
        self._gdb.go()

    def address(self, port: str) -> Path:
        """The socket to connect to for one of the ports that the machine serves, one client at a time."""
        return self._directory / port

    def stop(self) -> None:
        """Have ``run``, in another thread, fail."""
        self._process.kill()

    def close(self) -> None:
        """End the machine."""
        self._process.kill()
        self._process.wait()
        for connection in (*self._listeners.values(), *self._open_ports.values(), self._gdb, self._selector):
            if connection:
                connection.close()
        self._temporary.cleanup()

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._directory / name))
        listener.listen(1)
        return listener

    def _devices(self, shares: Sequence[Path], serves: Sequence[str]) -> list[str]:
        words = ["-serial", f"file:{self._console}", "-device", "virtio-serial-pci,ioeventfd=off"]
        for name in (*PORTS, *serves):
            kind = ",server=on,wait=off" if name in serves else ""
            words += ["-chardev", f"socket,id={name},path={self._directory / name}{kind}"]
            words += ["-device", f"virtserialport,chardev={name},name={name}"]
        for tag, path, readonly in (
            ("host", Path("/"), "on"),
            *((f"rw{n}", p, "off") for n, p in enumerate(shares)),
        ):
            share = f"local,id={tag},path={path},security_model=none,readonly={readonly},multidevs=remap"
            words += ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},ioeventfd=off"]
        return words

    def _free(self) -> None:
        """Remove the breakpoints of a booted machine without registers: it reads no more CPUID leaves of RDT, and with
        any breakpoint QEMU looks for one at each indirect jump, which makes programs slower.
        """
        if self._freed or self._failure:
            return
        self._freed = True
        assert self._gdb
        try:
            thread = self._gdb.halt()
            for address in self._traps:
                self._gdb.remove_breakpoint(address)
            if thread is None:
                self._gdb.go()
            else:
                self._answer(self._gdb, thread)
        except (RspError, OSError) as error:
            self._failure = f"and ended ({error})"

    def _activity(self) -> tuple[int, int]:
        """Grows with what the guest writes to its ports and its console."""
        return self._received_bytes, self._console.stat().st_size if self._console.exists() else 0

    def _progress(self, what: str, cpu_limit: float) -> Progress:
        qemu = [self._process.pid]
        return Progress(what, self._activity, pids=qemu, least_share=IDLE_SHARE, cpu_limit=cpu_limit)

    def _check_boot(self, boot: Progress) -> None:
        try:
            self._check(boot)
        except StalledError as error:
            raise BootError(str(error)) from None

    def _check(self, progress: Progress) -> None:
        try:
            progress.check()
        except StalledError as error:
            raise StalledError(f"{error}\n{self._messages()}") from None

    def _attach(self, progress: Progress) -> Rsp:
        connection = socket.socket(socket.AF_UNIX)
        while True:
            with contextlib.suppress(OSError):
                connection.connect(str(self._directory / "gdb"))
                break
            if self._process.poll() is not None:
                connection.close()
                raise VmError(f"QEMU did not start: {self._messages()}")
            self._check(progress)
            time.sleep(0.01)
        gdb = Rsp(connection)
        gdb.attach()
        for address in self._traps:
            gdb.set_breakpoint(address)
        gdb.go()
        return gdb

    def _turn(self, sinks: Mapping[str, Sink]) -> None:
        selector = self._selector
        events = selector.select(0.2)
        if not events and self._process.poll() is not None:
            self._failure = "and ended"
        for key, _ in events:
            match key.data:
                case Rsp() as gdb:
                    self._answer_stops(gdb, sinks)
                case _Accept(name):
                    self._open_ports[name] = self._listeners[name].accept()[0]
                    selector.unregister(self._listeners[name])
                    selector.register(self._open_ports[name], selectors.EVENT_READ, _Receive(name))
                case _Receive(name):
                    data = _receive(self._open_ports[name])
                    if not data:
                        selector.unregister(self._open_ports[name])
                    self._received(name, data, sinks)

    def _received(self, name: str, data: bytes, sinks: Mapping[str, Sink]) -> None:
        self._received_bytes += len(data)
        if name != "control":
            sinks[name](data)
            return
        for line in data.decode(errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            self._booted = True
            if word == "mark":
                self.marks[rest] = self.registers.marked()
            elif word == "exit":
                self._status = int(rest)
            elif word == "failed":
                self._failure = rest

    def _drain(self, sinks: Mapping[str, Sink]) -> None:
        """Everything that the job wrote is in the sockets by now."""
        for name, sink in sinks.items():
            if name in self._open_ports:
                self._open_ports[name].setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while data := _receive(self._open_ports[name]):
                        sink(data)

    def _answer_stops(self, gdb: Rsp, sinks: Mapping[str, Sink]) -> None:
        try:
            gdb.receive()
            while gdb.has_packet:
                self._take_mark(sinks)
                self._answer(gdb, gdb.stopped_thread())
        except (RspError, OSError) as error:
            self._selector.unregister(gdb)
            self._failure = f"and ended ({error})"

    def _take_mark(self, sinks: Mapping[str, Sink]) -> None:
        """A mark was written before this stop came, so it is here: take it before the registers change."""
        if "control" in self._open_ports:
            with contextlib.suppress(BlockingIOError):
                data = self._open_ports["control"].recv(65536, socket.MSG_DONTWAIT)
                self._received("control", data, sinks)

    def _answer(self, gdb: Rsp, thread: int) -> None:
        cpu, registers = thread - 1, self.registers
        rip, rax, rcx, rdx = gdb.registers("rip", "rax", "rcx", "rdx")
        low, number, after = rax & LOW32, rcx & LOW32, rip + 2
        instruction = self._traps.get(rip)
        if instruction == CPUID:
            answer = registers.cpuid(low, number, cpu)
            if answer is None and registers.amends(low, number):
                gdb.step(thread)
                eax, ebx, ecx, edx = gdb.registers("rax", "rbx", "rcx", "rdx")
                answer = registers.amend(low, (eax, ebx, ecx, edx))
            if answer is not None:
                eax, ebx, ecx, edx = answer
                gdb.set_and_go(rax=eax, rbx=ebx, rcx=ecx, rdx=edx, rip=after)
                return
        elif instruction == RDMSR and registers.owns(number):
            value = registers.read(cpu, number)
            gdb.set_and_go(rax=value & LOW32, rdx=value >> 32, rip=after)
            return
        elif instruction == WRMSR and registers.owns(number):
            registers.write(cpu, number, (rdx & LOW32) << 32 | low)
            gdb.set_and_go(rip=after)
            return
        gdb.step(thread)
        gdb.go()

    def _messages(self) -> str:
        texts = [path.read_text(errors="replace") for path in (self._log, self._console) if path.exists()]
        return "".join(texts)[-3000:]


def _receive(connection: socket.socket) -> bytes:
    """What has arrived; nothing once QEMU has ended, also if it was killed with something unread."""
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


@dataclasses.dataclass(frozen=True)
class _Accept:
    name: str


@dataclasses.dataclass(frozen=True)
class _Receive:
    name: str
