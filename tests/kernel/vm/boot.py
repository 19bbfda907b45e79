"""A root of Debian on a real kernel: systemd is its first process, and a port of the machine leads to its sshd.

The root is a directory of this machine; what the machine writes stays in its memory. The port takes one connection at a
time: sshd waits on it for the next one.
"""

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.kernel.vm import image, kernels
from tests.kernel.vm.guest import Guest
from tests.kernel.vm.machine import Machine
from tests.kernel.vm.packages import VmError
from tests.kernel.vm.run import prepare
from tests.waiting import StalledError

PORT: Final = "ssh"
UNIT: Final = "ssh-on-a-port.service"
_FILES: Final = Path(__file__).parent
# The console needs no login, and the root does not have the kernel's modules.
_PARAMETERS: Final = "systemd.firstboot=no systemd.mask=getty.target systemd.mask=systemd-modules-load.service"


def make_bootable(root: Path) -> None:
    """Add to a root with systemd and openssh-server what serves its sshd on the port."""
    units = root / "etc/systemd/system"
    for name, directory, mode in ((UNIT, units, 0o644), ("ssh-on-a-port.sh", root / "usr/local/sbin", 0o755)):
        (directory / name).write_bytes((_FILES / name).read_bytes())
        (directory / name).chmod(mode)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants" / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")


@contextlib.contextmanager
def booted(root: Path, machine: Machine, cpu_limit: float) -> Iterator[list[str]]:
    """The root, booted: the options with which ssh, as root, comes to it.

    Raises VmError when the machine is not available or fails.
    """
    traps = prepare(machine.kernel)
    kernel = kernels.kernel_directory(kernels.cache_directory(), machine.kernel)
    initrd = image.initramfs(kernel, {"root": str(root.resolve())})
    machine = dataclasses.replace(machine, append=f"{machine.append} {_PARAMETERS}")
    guest = Guest(machine, image.elf_kernel(kernel), initrd, traps=traps, serves=[PORT])
    follower = _Follower(guest, cpu_limit)
    follower.start()
    try:
        proxy = f"{sys.executable} {_FILES / 'pass_connection.py'} {guest.address(PORT)}"
        # On a busy machine the port has once kept data until more came, so there is always more.
        alive = ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=1000"]
        yield ["-o", "ProxyUseFdpass=yes", "-o", f"ProxyCommand={proxy}", *alive]
    except BaseException as error:
        if follower.failure:
            error.add_note(f"the machine: {follower.failure}")
        raise
    finally:
        guest.stop()
        follower.join()
        guest.close()


class _Follower(threading.Thread):
    """Answers the machine's stops until it ends."""

    def __init__(self, guest: Guest, cpu_limit: float) -> None:
        super().__init__(name="machine")
        self._guest, self._cpu_limit = guest, cpu_limit
        self.failure = ""

    def run(self) -> None:
        try:
            self._guest.run({"out": _ignore, "err": _ignore}, self._cpu_limit)
        except (VmError, StalledError) as error:
            self.failure = str(error)
            self._guest.stop()  # else what waits for it waits forever


def _ignore(data: bytes) -> None:
    """Nothing is written to these ports."""
