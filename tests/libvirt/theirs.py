"""libvirt's answers: each case's guest is started on a private host, looked at, and ended."""

from collections.abc import Iterable, Iterator

from cachetune.domain import load
from cachetune.guests import find_guest
from cachetune.host.model import DEFAULT_GROUP, Host, is_monitor
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.plan import Options
from cachetune.plan.build import plan
from tests.libvirt.answers import GUEST, Answer, named, placed
from tests.libvirt.bodies import Case, prepare
from tests.libvirt.domains import xml_of
from tests.libvirt.host import LibvirtHost

_DIED = "libvirtd died"


def ask(host: LibvirtHost, cases: Iterable[Case]) -> Iterator[tuple[Case, Answer, list[str]]]:
    """Ask libvirt each case, on a host of their profile. With it comes what our plan does not recognize afterwards."""
    fs, state = SysfsResctrl(host.resctrl), "fresh"
    for case in cases:
        if case.state != state:
            clear(fs)
            prepare(fs, host.profile, case.state)
            state = case.state
        yield case, *_answer(host, fs, case)


def _answer(host: LibvirtHost, fs: SysfsResctrl, case: Case) -> tuple[Answer, list[str]]:
    before = read_host(fs)
    asked = host.create(xml_of(case))
    if asked.returncode:
        said = tuple(line.removeprefix("error: ") for line in asked.stderr.splitlines()[1:])
        if host.libvirtd_died(asked):
            host.start_libvirtd()
            said = (_DIED,)
        return Answer(refused=tuple(map(named, said)), left=_left(fs, before)), []
    after, vcpus = read_host(fs), host.vcpu_tids(GUEST)
    unknown = _not_recognised(host, after)
    host.destroy(GUEST)
    assert _others(before, after) == _others(before, before), "libvirt has changed groups that are not the guest's"
    return Answer(groups=placed(before, after, vcpus), left=_left(fs, before)), unknown


def _others(before: Host, now: Host) -> list[object]:
    """The groups that were there before the guest, as they are now."""
    return [(g.path, g.masks, g.bandwidth, g.mode) for g in now.groups if before.group(g.path)]


def _not_recognised(host: LibvirtHost, after: Host) -> list[str]:
    """What our plan would still do for the running guest, from its live XML; nothing if it knows libvirt's groups."""
    status = (host.root / f"run/libvirt/qemu/{GUEST}.xml").read_text()
    live = status[status.index("<domain type=") : status.index("</domain>")] + "</domain>"  # as virsh dumpxml gives it
    loaded = load(live.encode(), "live.xml")
    if loaded.domain is None:
        return [str(finding) for finding in loaded.findings]
    guest = find_guest(host.pid(GUEST), host.root / "proc")
    return [str(step) for step in plan(loaded.domain, after, guest, Options()).steps]


def _left(fs: SysfsResctrl, before: Host) -> tuple[str, ...]:
    """What the guest leaves behind; it is removed here."""
    left = [g.path for g in read_host(fs).groups if before.group(g.path) is None]
    for path in sorted(left, key=is_monitor, reverse=True):
        fs.rmdir(path)
    return tuple(map(named, left))


def clear(fs: SysfsResctrl) -> None:
    """Make a resctrl as it was when it was mounted."""
    now = read_host(fs)
    for group in now.groups:
        if group.path != DEFAULT_GROUP and not is_monitor(group.path):
            fs.rmdir(group.path)
    if fs.read("mode") != "shareable\n":
        fs.write("mode", "shareable\n")
    full = [(c.name, c.size_bytes, f"{c.cbm_mask:x}") for c in now.caches]
    full += [(b.name, dict.fromkeys(b.ids), str(b.max_bandwidth)) for b in now.bandwidths]
    for name, ids, value in full:
        fs.write("schemata", f"{name}:" + ";".join(f"{i}={value}" for i in ids) + "\n")
