"""``cachetune-hook``: libvirt's qemu hook. libvirt calls it as HOOK GUEST OPERATION SUB-OPERATION EXTRA, XML on stdin.

libvirt requires that a hook writes nothing to standard output and does not call libvirt. An exit code other than 0
stops the guest, which only ``--strict`` allows, at prepare and started. Most guests have no tuning, so this module
imports nothing until it knows that one has; the rest is in ``cachetune.hook.operations``.
"""

import os
import sys

FLAGS = ("--strict", "--shrink-default", "--assign-counters")
VALUES = {
    "--guests-d": "/etc/cachetune/guests.d",
    "--libvirt-run": "/run/libvirt/qemu",
    "--lock-timeout": "5",
    "--log": "",
    "--proc": "/proc",
    "--policy": "",
    "--resctrl": "/sys/fs/resctrl",
    "--round": "",
    "--run": "/run/cachetune",
    "--sysfs": "/sys",
}
OPERATIONS = {("prepare", "begin"), ("started", "begin"), ("release", "end"), ("reconnect", "begin")}
MAY_STOP = ("prepare", "started")
MAX_BYTES = 16 << 20

_USAGE = f"""\
Usage: cachetune-hook [OPTION]... GUEST OPERATION SUB-OPERATION EXTRA

libvirt's qemu hook; it reads the domain's XML on standard input and is not meant to be called by hand.
Options: {" ".join(FLAGS)} {" ".join(f"{name} VALUE" for name in VALUES)}
"""


class Call:
    """One call of the hook: guest, operation, domain XML, and options."""

    def __init__(self, guest: str, operation: str) -> None:
        self.guest, self.operation, self.xml = guest, operation, b""
        self.flags: set[str] = set()
        self.values = dict(VALUES)

    def take(self, words: list[str]) -> str:
        """Parse the options; return an error, "" if they are valid."""
        rest = iter(words)
        for word in rest:
            name, equals, value = word.partition("=")
            if word in FLAGS:
                self.flags.add(word)
            elif name in VALUES:
                self.values[name] = value if equals else next(rest, "")
                if not self.values[name]:
                    return f"option {name} requires a value"
            else:
                return f"unknown option {word!r}"
        return ""

    @property
    def may_stop(self) -> bool:
        """Whether a failure may stop the guest."""
        return "--strict" in self.flags and self.operation in MAY_STOP

    @property
    def is_ours(self) -> bool:
        """Whether the guest may have tuning: in its XML, in a tuning file, or groups that cachetune made earlier."""
        if b"<cachetune" in self.xml or b"<memorytune" in self.xml or b"<energytune" in self.xml:
            return True
        if "/" not in self.guest and os.path.lexists(f"{self.values['--guests-d']}/{self.guest}.xml"):
            return True
        return self.operation == "release" and self._is_known()

    def _is_known(self) -> bool:
        try:
            with open(f"{self.values['--run']}/ledger.json", "rb") as file:  # noqa: PTH123 - importing pathlib is slow
                return os.fsencode(self.guest) in file.read()
        except OSError:
            return False


def main() -> None:
    """The program ``cachetune-hook``."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Handle one call; return the exit code. The last four arguments are libvirt's, whatever the guest is called."""
    if len(argv) < 4:
        _print(_USAGE)
        return 2
    *words, guest, operation, sub_operation, _extra = argv
    if (operation, sub_operation) not in OPERATIONS:
        return 0
    call = Call(guest, operation)
    wrong = call.take(words) or _read_xml(call)
    if wrong:
        _print(f"cachetune-hook: {operation} of {guest!r}: {wrong}\n")
        return int(call.may_stop)
    if not call.is_ours:
        return 0
    try:
        from cachetune.hook.operations import handle

        return handle(call)
    except Exception as error:  # noqa: BLE001 - the exit code of a traceback would stop the guest
        _print(f"cachetune-hook: {operation} of {guest!r}: {type(error).__name__}: {error} (this is a bug)\n")
        return int(call.may_stop)


def _read_xml(call: Call) -> str:
    """Read standard input to its end; return an error, "" if it contains text."""
    parts, size = [], 0
    try:
        while sys.stdin and (part := os.read(sys.stdin.fileno(), 1 << 20)):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                return f"the domain XML is larger than {MAX_BYTES >> 20} MiB"
    except OSError as error:
        return f"cannot read the domain XML on standard input: {error.strerror}"
    call.xml = b"".join(parts)
    return "" if call.xml else "no domain XML on standard input"


def _print(text: str) -> None:
    try:
        if sys.stderr:
            sys.stderr.write(text)
    except OSError:  # stderr is closed, which must not stop a guest
        pass
