"""A guest whose group becomes exclusive and shareable again: as a user, and with a failure or a death at each change.

``python -m … EXTENT [SEED]``, as in ``deaths``, or "none" for no deaths. With "few" recover is not killed.

The exclusive group has ways of every cache of the machine. When it is shareable, it requests ways of one L3 cache only
and shares all others with the default group, so that both ways between the two write masks as well as the mode.
"""

import gc
import os
import sys
from errno import errorcode
from functools import partial
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.host.model import Host
from cachetune.plan.model import Plan
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run, run_here
from tests.kernel.scenarios.deaths import Round, Scene, moments_of
from tests.kernel.scenarios.faults import Attempt, failures
from tests.kernel.scenarios.guest_process import GuestProcess, running
from tests.kernel.scenarios.library import carried_out, guest_of, place_on, planned, removal

GROUP = "cachetune-alone-vcpus_0-1"
FOREIGN = "foreign"


class Refusal(msgspec.Struct, frozen=True):
    """What the kernel answers to a write of another program: the name of the errno, and last_cmd_status."""

    errno: str
    says: str


class Walk(msgspec.Struct, frozen=True):
    """The way of a user. ``foreign`` are the first masks of a group that another program makes.

    ``drifted`` and ``repaired`` are after another program has changed the mode.
    """

    apply: Ran
    mode: str
    show: Ran
    same: Ran
    foreign: dict[str, str]
    refused: dict[str, Refusal]
    drifted: Ran
    repaired: Ran
    mode_again: str
    remove: Ran
    differs: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """``plans``, ``failed`` and ``rounds`` are by verb: "exclusive" and "shareable"."""

    walk: Walk
    plans: dict[str, Plan]
    failed: dict[str, tuple[Attempt, ...]]
    rounds: dict[str, Round]
    differs: tuple[str, ...]


def asking(host: Host, *, exclusive: bool) -> str:
    """A tuning file: two ways of each cache, one where it holds code, exclusive; or two ways of one L3 cache."""
    caches = [
        f"<cache id='{i}' level='{c.level}' type='{c.type}' size='{(1 + (c.type != 'code')) * (c.way_bytes(i) or 0)}'"
        " unit='B'/>"
        for c in sorted(host.caches, key=lambda control: -control.level)
        for i in c.size_bytes
    ]
    mode, kept = (" mode='exclusive'", caches) if exclusive else ("", caches[:1])
    return f"<cputune><cachetune vcpus='0-1'{mode}>{''.join(kept)}</cachetune></cputune>"


def domain_of(text: str) -> Domain:
    """The domain of a tuning file, for the guest of this scenario."""
    domain = load(text.encode(), "tuning.xml").domain
    if domain is None:
        raise RuntimeError(text)
    return msgspec.structs.replace(domain, name="alone")


def walk(process: GuestProcess, file: Path) -> Walk:
    """Make the group exclusive, see what others can do, repair its mode, remove it."""
    before = tree.state(process.threads.tids)
    words = ("--pid", str(process.threads.pid), "--machine-name", "cachetune-alone", "--shrink-default", str(file))
    applied = run("apply", "--yes", "--json", *words)
    mode = (tree.RESCTRL / GROUP / "mode").read_text()
    show, same = run_here("show"), run_here("diff", *words)
    os.mkdir(tree.RESCTRL / FOREIGN)  # noqa: PTH102 - one system call
    foreign = _entries(FOREIGN)
    refused = {}
    for group in (FOREIGN, "."):
        for entry, masks in _entries(GROUP).items():
            refused[f"{group} {entry}"] = _written(tree.RESCTRL / group / "schemata", f"{entry}={masks}\n")
    (tree.RESCTRL / FOREIGN).rmdir()
    (tree.RESCTRL / GROUP / "mode").write_text("shareable\n")
    drifted, repaired = run_here("diff", *words), run_here("apply", "--yes", "--json", *words)
    again = (tree.RESCTRL / GROUP / "mode").read_text()
    remove = run_here("remove", "--yes", "--machine-name", "cachetune-alone")
    differs = tree.differences(before, tree.state(process.threads.tids))
    return Walk(applied, mode, show, same, foreign, refused, drifted, repaired, again, remove, differs)


def _entries(group: str) -> dict[str, str]:
    """The masks of a group: "L3:0" to "3"."""
    found = {}
    for line in (tree.RESCTRL / group / "schemata").read_text().splitlines():
        name, _, row = line.strip().partition(":")
        if name.startswith("L"):
            found |= {f"{name}:{i}": mask for i, mask in (entry.split("=") for entry in row.split(";"))}
    return found


def _written(path: Path, text: str) -> Refusal:
    try:
        path.write_text(text)
    except OSError as error:
        return Refusal(errorcode[error.errno or 0], (tree.RESCTRL / "info/last_cmd_status").read_text())
    return Refusal("", "")


def main() -> None:
    """Print an Outcome."""
    with running(2) as process:
        tids = process.threads.tids
        connection = place_on(Path("/run/exclusive"))
        host = connection.look(Ledger())
        file = Path("/run/exclusive.xml")
        file.write_text(asking(host, exclusive=True))
        walked = walk(process, file)
        first = tree.state(tids)
        alone, sharing = domain_of(file.read_text()), domain_of(asking(host, exclusive=False))
        guest = guest_of(alone, process.threads.pid)
        carried_out(planned(sharing, guest, connection), connection)
        ways = {
            "exclusive": lambda: planned(alone, guest, connection),
            "shareable": lambda: planned(sharing, guest, connection),
        }
        scene = Scene(connection, {thread.tid for thread in guest.threads}, ways, moments_of(*sys.argv[1:]))
        gc.disable()  # as in deaths
        failed, rounds = {}, {}
        for verb in ways:
            if sys.argv[1] != "none":
                rounds[verb] = scene.round(verb)
            if sys.argv[1] not in ("none", "few"):
                rounds |= scene.recoveries(verb, all_ends=False)
            failed[verb] = failures(scene.plans[verb], scene.connection, partial(tree.state, tids))
        carried_out(removal(alone, connection), connection)
        differs = tree.differences(first, tree.state(tids))
    sys.stdout.buffer.write(documents.encode(Outcome(walked, scene.plans, failed, rounds, differs)))


if __name__ == "__main__":
    main()
