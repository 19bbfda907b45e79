"""Have libvirt answer every case, and keep it: ``python -m tests.libvirt.record [--backports]``.

Asked is the libvirt that is installed, or that of Debian's backports. Says what is other than recorded before.
"""

import sys
import time

from tests.libvirt import answers, theirs
from tests.libvirt.bodies import CASES, HOSTS
from tests.libvirt.host import LibvirtHost, missing
from tests.libvirt.packages import backports


def main() -> int:
    """Record; 2 if there can be no libvirt here."""
    if why := missing():
        print(f"libvirt: {why}", file=sys.stderr)
        return 2
    packages = backports() if "--backports" in sys.argv[1:] else None
    found: dict[str, answers.Answer] = {}
    version = ""
    for name, profile in HOSTS.items():
        started = time.monotonic()
        cases = [case for case in CASES if case.host == name]
        with LibvirtHost(profile, packages=packages) as host:
            version = host.libvirt_version()
            for case, answer, unknown in theirs.answers(host, cases):
                found[case.key] = answer
                for line in unknown:
                    print(f"{case.key}: not recognised: {line}")
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    answers.save(version, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
