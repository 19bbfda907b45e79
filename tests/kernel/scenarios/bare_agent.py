"""The agent as root with the one capability that its service leaves it, for the guest of an ordinary user.

The process of the guest takes its user's identity before it starts threads, as QEMU does under libvirt.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran
from tests.kernel.scenarios.guest_process import GuestProcess, Threads

KEPT = (1,)  # CAP_DAC_OVERRIDE
USER = 64055  # Debian's libvirt-qemu; does not exist here
TUNING = """
<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='{kib}' unit='KiB'/>
  </cachetune>
</cputune>
"""
GUEST = f"""
import ctypes, os
from tests.kernel.scenarios import guest_process
os.setuid({USER})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: else its own files in /proc are root's
guest_process.main()
"""

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_LAST_CAP = Path("/proc/sys/kernel/cap_last_cap")


class Outcome(msgspec.Struct, frozen=True):
    """What the agent said and did: without capabilities, with its own, and after the guest's file was removed.

    ``snapshot`` is one of the machine, whose kernel is ``release``.
    """

    guest: Threads
    user: int
    process: str
    without: Ran
    placed: Ran
    during: dict[str, dict[str, str]]
    removed: Ran
    differences: tuple[str, ...]
    release: str
    snapshot: Ran


def main() -> None:
    """Print an Outcome. The argument is the size of a way in KiB."""
    guests_d = Path("/tmp/guests.d")  # noqa: S108 - the machine is ours alone
    guests_d.mkdir()
    file = guests_d / "web.xml"
    file.write_text(TUNING.format(kib=2 * int(sys.argv[1])))
    words = [sys.executable, "-c", GUEST, "2", "-name", "guest=web"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        guest = GuestProcess(process.stdin, process.stdout).threads
        before = tree.state(guest.tids)
        agent = ("-m", "cachetune.cli.main", "agent", "--once", "--shrink-default", "--source", "threads")
        without = _run_with((), *agent, "--guests-d", str(guests_d))
        placed = _run_with(KEPT, *agent, "--guests-d", str(guests_d))
        during = tree.groups()
        file.unlink()
        removed = _run_with(KEPT, *agent, "--guests-d", str(guests_d))
        after = tree.state(guest.tids)
        user = Path(f"/proc/{guest.pid}").stat().st_uid
        process.stdin.close()
    outcome = Outcome(
        guest=guest,
        user=user,
        process=_run_with(KEPT, "-c", "print(open('/proc/self/status').read())").out,
        without=without,
        placed=placed,
        during=during,
        removed=removed,
        differences=tree.differences(before, after),
        release=os.uname().release,
        snapshot=_run_with((), "-m", "cachetune.cli.main", "snapshot"),
    )
    sys.stdout.buffer.write(documents.encode(outcome))


def _run_with(kept: Collection[int], *words: str) -> Ran:
    """Run Python as CapabilityBoundingSet= and NoNewPrivileges=yes have it: root, but with these capabilities only."""

    def give_up() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(int(_LAST_CAP.read_text()) + 1):
            if capability not in kept and libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, preexec_fn=give_up)
    return Ran(done.returncode, done.stdout, done.stderr)


if __name__ == "__main__":
    main()
