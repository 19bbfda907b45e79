"""A client of the GDB remote serial protocol, just large enough to answer for a processor.

The loop that uses it sets software breakpoints, waits for a stop, reads a few registers and either writes
others and continues the machine, or steps over the instruction. QEMU takes the first byte of a packet as the
acknowledgment of the one before, so several requests travel in one write and a stop costs two round trips.
"""

import socket
from typing import Final

# The numbering of gdb's amd64 target.
_NUMBER: Final = {"rax": 0, "rbx": 1, "rcx": 2, "rdx": 3, "rip": 16}
_MASK64: Final = (1 << 64) - 1


class RspError(Exception):
    """The stub refused a request, answered nonsense, or hung up."""


class Rsp:
    """One connection to QEMU's gdbstub on a connected stream socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = b""

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def attach(self) -> None:
        """Greet the stub; the machine must have been started stopped (-S)."""
        self._socket.sendall(b"+")
        self._ask("qSupported:vContSupported+;qXfer:features:read+")
        # QEMU answers requests for single registers only to a client that has read the target's description.
        self._ask("qXfer:features:read:target.xml:0,400")
        self._ask("?")

    def set_breakpoint(self, address: int) -> None:
        """Stop whichever processor comes to the address."""
        body = f"Z0,{address:x},1"
        self._expect_ok(body, self._ask(body)[0])

    def remove_breakpoint(self, address: int) -> None:
        """Let processors pass the address; they must stand."""
        body = f"z0,{address:x},1"
        self._expect_ok(body, self._ask(body)[0])

    def registers(self, *names: str) -> list[int]:
        """The values of registers of the stopped processor."""
        answers = self._ask(*(f"p{_NUMBER[name]:x}" for name in names))
        return [int.from_bytes(bytes.fromhex(answer), "little") for answer in answers]

    def set_and_go(self, **values: int) -> None:
        """Write registers of the stopped processor, then let all of them run."""
        bodies = [
            f"P{_NUMBER[name]:x}={(value & _MASK64).to_bytes(8, 'little').hex()}" for name, value in values.items()
        ]
        self._socket.sendall(b"".join(_packet(body) for body in [*bodies, "c"]))
        for body in bodies:
            self._expect_ok(body, self._next_packet())

    def step(self, thread: int) -> None:
        """Execute one instruction of one processor while the others stand, even one with a breakpoint."""
        self._ask(f"vCont;s:{thread:x}")

    def go(self) -> None:
        """Let every processor run; ``stopped_thread`` reports one that has reached a breakpoint."""
        self._socket.sendall(_packet("c"))

    def interrupt(self) -> None:
        """Stop all processors. Raises RspError if one has just stopped for another reason."""
        if (thread := self.halt()) is not None:
            raise RspError(f"thread {thread} has stopped")

    def halt(self) -> int | None:
        """Stop all processors. The number of the thread that has just reached a breakpoint, if one has."""
        self._socket.sendall(b"\x03")  # QEMU ignores it if the machine stands
        reply = self._next_packet()
        return None if reply[:3] == "T02" else self._thread_in(reply)  # SIGINT

    def receive(self) -> None:
        """Take what the socket has; call when it is readable."""
        data = self._socket.recv(65536)
        if not data:
            raise RspError("the gdbstub hung up")
        self._received += data

    @property
    def has_packet(self) -> bool:
        """Whether a packet (and not just an acknowledgment) has started to arrive."""
        return b"$" in self._received

    def stopped_thread(self) -> int:
        """The thread number, from 1, in the stop reply that has arrived."""
        return self._thread_in(self._next_packet())

    @staticmethod
    def _thread_in(reply: str) -> int:
        if reply[:1] in ("W", "X"):
            raise RspError("the machine has ended")
        if reply[:1] == "T":
            for field in reply[3:].split(";"):
                key, _, value = field.partition(":")
                if key == "thread":
                    return int(value.rpartition(".")[2].lstrip("p"), 16)
        raise RspError(f"unexpected stop reply {reply!r}")

    def _ask(self, *bodies: str) -> list[str]:
        self._socket.sendall(b"".join(_packet(body) for body in bodies))
        return [self._next_packet() for _ in bodies]

    def _next_packet(self) -> str:
        while True:
            start = self._received.find(b"$")
            end = self._received.find(b"#", start + 1) if start >= 0 else -1
            if end >= 0 and len(self._received) >= end + 3:
                body = self._received[start + 1 : end]
                self._received = self._received[end + 3 :]
                return body.decode("latin-1")
            self.receive()

    @staticmethod
    def _expect_ok(body: str, answer: str) -> None:
        if answer != "OK":
            raise RspError(f"{body}: {answer or 'not supported'}")


def _packet(body: str) -> bytes:
    data = body.encode("ascii")
    return b"$%s#%02x" % (data, sum(data) & 0xFF)
