"""A program between libvirt and QEMU: libvirt sees a machine with KVM, and QEMU runs without it.

libvirt supports <cachetune> for guests of type kvm only, and does not query the vCPU threads of other guests. So:

- when libvirt queries QEMU's capabilities (``-machine none,accel=kvm:tcg``), the real QEMU runs with TCG alone, and its
  answers pass through here: query-kvm is answered with yes, the CPU model "host" is replaced by "max";
- a guest's ``-accel kvm`` becomes ``-accel tcg`` and the real QEMU takes this process's place.

The environment may say REAL_QEMU, the program that runs, and TCG_OPTIONS, such as ",thread=single". This starts at
every guest, so what only the questions need is imported there.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import Any

REAL = os.environ.get("REAL_QEMU", "/usr/bin/qemu-system-x86_64")
TCG = "tcg" + os.environ.get("TCG_OPTIONS", "")
WAIT_SECONDS = 600  # libvirt opens the socket at once, but the machine may be busy
YES = {"enabled": True, "present": True}


def main(words: list[str]) -> None:
    """Answer queries, or become the guest."""
    machine = _value_of("-machine", words) or ""
    if machine.startswith("none,accel=kvm") and "-qmp" in words and "-daemonize" in words:
        sys.exit(_be_asked(words))
    os.execv(REAL, [REAL, *without_kvm(words)])  # noqa: S606 - this process becomes QEMU


def without_kvm(words: list[str]) -> list[str]:
    """QEMU's command line, for TCG."""
    changed = []
    for option, word in zip(["", *words], words, strict=False):
        if option == "-accel" and word.split(",")[0] == "kvm":
            changed.append(TCG)
        elif option == "-machine":
            parts = ("accel=tcg" if part.startswith("accel=kvm") else part for part in word.split(","))
            changed.append(",".join(parts))
        elif option == "-cpu":
            model, comma, rest = word.partition(",")
            changed.append(f"{'max' if model == 'host' else model}{comma}{rest}")
        else:
            changed.append(word)
    return changed


def _value_of(option: str, words: list[str]) -> str | None:
    return words[words.index(option) + 1] if option in words else None


def _be_asked(words: list[str]) -> int:
    """Start the real QEMU on a socket beside the one that libvirt will open, and pass on between the two."""
    import socket
    import subprocess

    where = _value_of("-qmp", words) or ""
    place, comma, options = where.removeprefix("unix:").partition(",")
    behind = f"{place}.real"
    there = list(words)
    there[there.index("-qmp") + 1] = f"unix:{behind}{comma}{options}"
    status = subprocess.call([REAL, *without_kvm(there)])  # -daemonize: it listens when this returns
    if status == 0:
        door = socket.socket(socket.AF_UNIX)
        door.bind(place)
        door.listen(1)
        if os.fork() == 0:
            _pass_on_in_background(door, behind)
    return status


def _pass_on_in_background(door: socket.socket, behind: str) -> None:
    import socket

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    back = socket.socket(socket.AF_UNIX)
    back.connect(behind)
    os.unlink(behind)
    door.settimeout(WAIT_SECONDS)
    front = door.accept()[0]
    front.settimeout(None)
    _pass_on(front, back)
    os._exit(0)


def _pass_on(front: socket.socket, back: socket.socket) -> None:
    """QMP both ways, line by line, until QEMU ends."""
    import socket
    import threading

    kvm: set[Any] = set()
    host: set[Any] = set()

    def questions() -> None:
        for line in _lines(front):
            back.sendall(_question(line, kvm, host))
        back.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=questions, daemon=True).start()
    for line in _lines(back):
        front.sendall(_answer(line, kvm, host))


def _question(line: bytes, kvm: set[Any], host: set[Any]) -> bytes:
    """Translate a query to QEMU; remember which answers must change."""
    import json

    asked = json.loads(line)
    if asked["execute"] == "query-kvm":
        kvm.add(asked.get("id"))
    model = asked.get("arguments", {}).get("model", {})
    if asked["execute"] == "query-cpu-model-expansion" and model.get("name") == "host":
        host.add(asked.get("id"))
        model["name"] = "max"
        return _line(asked)
    return line


def _answer(line: bytes, kvm: set[Any], host: set[Any]) -> bytes:
    """Translate an answer to libvirt."""
    import json

    said = json.loads(line)
    if "return" in said and said.get("id") in kvm:
        said["return"] = YES
    elif "return" in said and said.get("id") in host:
        said["return"]["model"]["name"] = "host"
    else:
        return line
    return _line(said)


def _lines(end: socket.socket) -> Iterable[bytes]:
    return end.makefile("rb")


def _line(document: Any) -> bytes:
    import json

    return json.dumps(document).encode() + b"\r\n"


if __name__ == "__main__":
    main(sys.argv[1:])
