"""Have libvirt answer every case, and keep it: ``python -m tests.libvirt.record [--backports]``.

It queries the installed libvirt, or the one in Debian's backports, reports what differs from the previous record, and
rewrites the tables of docs/reference/libvirt-differences.md.
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.libvirt import answers, differences
from tests.libvirt.bodies import CASES, HOSTS
from tests.libvirt.host import LibvirtHost, missing
from tests.libvirt.ours import Cachetune
from tests.libvirt.packages import backports
from tests.libvirt.theirs import ask


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
            for case, answer, unknown in ask(host, cases):
                found[case.key] = answer
                for line in unknown:
                    print(f"{case.key}: not recognized: {line}")
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    if answers.file_of(version).exists():
        before = answers.load(version)
        news = [key for key in {**before, **found} if before.get(key) != found.get(key)]
        print(f"libvirt {version}: {len(news)} answers are not as recorded before", *news, sep="\n  ")
    answers.save(version, found)
    fill_page()
    return 0


def fill_page() -> None:
    """Rewrite the tables of docs/reference/libvirt-differences.md."""
    theirs = {version: answers.load(version) for version in differences.recorded_versions()}
    with tempfile.TemporaryDirectory() as directory:
        cachetune = Cachetune(Path(directory))
        ours = {case.key: cachetune.answer(case) for case in CASES}
    differences.PAGE.write_text(differences.filled(differences.PAGE.read_text(), theirs, ours))


if __name__ == "__main__":
    sys.exit(main())
