"""A whole machine as files below one directory, as an unpacked sosreport has them: healthy, until a test changes it.

The server is a skylake-2s with libvirt 11.3. Its guest web (process 4711, two vCPUs on the CPUs of L3 cache 0) has a
tuning file and is placed by a real ``apply`` on a simulated resctrl, which is then written as files.
"""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger
from cachetune.doctor.diagnose import diagnose
from cachetune.doctor.examination import Examination
from cachetune.doctor.examine import Scope, examine
from cachetune.doctor.model import CheckResult
from cachetune.domain import load
from cachetune.guests.model import Guest, Thread
from cachetune.plan import GuestRequest, Options
from cachetune.plan.model import Plan
from cachetune.service.changes import carry_out
from cachetune.service.plans import planner_of
from cachetune.sim import SimulatedResctrl, load_profile, write_sysfs, write_tree
from tests.guests.lookalike import add_process

PROFILE = "skylake-2s"
RELEASE = "6.12.95-amd64"
GROUP = "cachetune-web-vcpus_0-1"
PID, VCPUS = 4711, {4712: "CPU 0/KVM", 4713: "CPU 1/KVM"}
WAYS = 2
TUNING = """<cputune>
  <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>
</cputune>
"""
DEFINITION = "<domain type='kvm'><name>{}</name><vcpu>2</vcpu>{}</domain>\n"
CPUINFO = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6140 CPU @ 2.30GHz
flags\t\t: fpu vme {flags}

processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6140 CPU @ 2.30GHz
flags\t\t: fpu vme {flags}
"""
FLAGS = "cat_l3 cdp_l3 mba cqm_llc cqm_occup_llc cqm_mbm_total cqm_mbm_local"
CONFIG = "CONFIG_X86_64=y\nCONFIG_X86_CPU_RESCTRL=y\nCONFIG_PROC_CPU_RESCTRL=y\n"
MOUNTS = "/dev/sda1 / ext4 rw,relatime 0 0\nresctrl /sys/fs/resctrl resctrl rw,relatime 0 0\n"
FSTAB = "/dev/sda1 / ext4 defaults 0 1\nresctrl /sys/fs/resctrl resctrl defaults 0 0\n"
HOOK = '#!/bin/sh\ncachetune-hook --strict "$@"\n'


class Server:
    """A healthy server below ``root``."""

    def __init__(self, root: Path) -> None:
        original, self.plan = _original()
        shutil.copytree(original, root, symlinks=True, dirs_exist_ok=True)
        self.root = root
        self.resctrl, self.run = root / "sys/fs/resctrl", root / "run/cachetune"
        self.guests_d = root / "etc/cachetune/guests.d"

    @property
    def scope(self) -> Scope:
        return Scope(root=self.root)

    def examined(self) -> Examination:
        return examine(self.scope)

    def results(self) -> dict[str, CheckResult]:
        """The results of all checks, by id."""
        return results_of(self.examined())

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file below the root."""
        file = self.root / path
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def delete(self, path: str) -> None:
        """Delete a file or a directory below the root."""
        place = self.root / path
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()

    def process(self, pid: int, *arguments: str) -> None:
        """Add a process."""
        add_process(self.root / "proc", pid, {pid: "x"}, arguments=arguments)

    def group(self, path: str, schemata: str, tasks: str = "", **files: str) -> None:
        """Add a control group of another program."""
        for name, text in {"schemata": schemata, "tasks": tasks, "mode": "shareable", "cpus_list": "", **files}.items():
            self.write(f"sys/fs/resctrl/{path}/{name}", text + "\n" if text else "")
        (self.resctrl / path / "mon_groups").mkdir(exist_ok=True)

    def pin(self, cpus: str) -> None:
        """Let the guest's threads run only on these CPUs."""
        for tid in (PID, *VCPUS):
            status = self.root / f"proc/{PID}/task/{tid}/status"
            lines = [line for line in status.read_text().splitlines() if not line.startswith("Cpus_allowed")]
            status.write_text("\n".join([*lines, f"Cpus_allowed_list:\t{cpus}"]) + "\n")

    def end_guest(self) -> None:
        """End the guest without removing its groups."""
        self.delete(f"proc/{PID}")
        for tasks in self.resctrl.rglob("tasks"):
            tasks.write_text("1\n" if tasks.parent == self.resctrl else "")

    def without_resctrl(self) -> None:
        """Unmount resctrl, and let the kernel have none."""
        self.unmount()
        self.write("proc/filesystems", "nodev\tsysfs\n")

    def unmount(self) -> None:
        """Unmount resctrl."""
        self.delete("sys/fs/resctrl")
        self.write("proc/mounts", MOUNTS.splitlines(keepends=True)[0])

    def change_ledger(self, ledger: Ledger) -> None:
        save_ledger(ledger, self.run)

    @property
    def ledger(self) -> Ledger:
        return load_ledger(self.run)


class _Builder(Server):
    """Builds the server that all others are copies of."""

    def __init__(self, root: Path, sysfs: Path) -> None:
        self.root = root
        self.resctrl, self.run = root / "sys/fs/resctrl", root / "run/cachetune"
        write_sysfs(load_profile(PROFILE), sysfs)
        (root / "sys").mkdir(parents=True)
        (root / "sys/devices").symlink_to(sysfs / "devices")
        self._machine()
        self._installation()
        self._guest()
        self.plan = self._placed()

    def _machine(self) -> None:
        self.write("proc/cpuinfo", CPUINFO.format(flags=FLAGS))
        self.write("proc/sys/kernel/osrelease", f"{RELEASE}\n")
        self.write("proc/cmdline", f"BOOT_IMAGE=/vmlinuz-{RELEASE} root=/dev/sda1 quiet\n")
        self.write("proc/filesystems", "nodev\tsysfs\nnodev\tresctrl\n\text4\n")
        self.write("proc/mounts", MOUNTS)
        self.write(f"boot/config-{RELEASE}", CONFIG)
        self.process(1, "/sbin/init")

    def _installation(self) -> None:
        self.write("usr/lib/x86_64-linux-gnu/libvirt.so.0.11003.0", "")
        self.write("etc/fstab", FSTAB)
        self.write("usr/local/bin/cachetune-hook", "#!/usr/bin/python3\n", 0o755)
        self.write("etc/libvirt/hooks/qemu.d/cachetune", HOOK, 0o755)

    def _guest(self) -> None:
        self.write("etc/cachetune/guests.d/web.xml", TUNING)
        self.write("etc/libvirt/qemu/web.xml", DEFINITION.format("web", ""))
        arguments = ["qemu-system-x86_64", "-name", "guest=web,debug-threads=on"]
        add_process(self.root / "proc", PID, {PID: "qemu-system-x86", **VCPUS}, arguments=arguments)
        self.pin("0-17")

    def _placed(self) -> Plan:
        """Place the guest on a simulated resctrl, and write that as files; returns the plan."""
        sim = SimulatedResctrl(load_profile(PROFILE))
        for tid in (1, PID, *VCPUS):
            sim.add_task(tid)
        threads = tuple(Thread(tid, 1000, name, n) for n, (tid, name) in enumerate(VCPUS.items()))
        domain = load(TUNING.encode(), "web.xml").domain
        assert domain
        request = GuestRequest(msgspec.structs.replace(domain, name="web"), Guest(PID, (Thread(PID, 1000), *threads)))
        plans: list[Plan] = []
        report = carry_out(
            planner_of([request], Options(shrink_default=True)), Connection(sim, self.run), show=plans.append
        )
        assert report.outcome == "done", report.error
        self.resctrl.parent.mkdir(parents=True)
        write_tree(sim, self.resctrl)
        return plans[0]


@cache
def _original() -> tuple[Path, Plan]:
    """A healthy server, built once by this process, and the plan that placed its guest."""
    directory = Path(mkdtemp(prefix="cachetune-doctor-"))
    atexit.register(shutil.rmtree, directory)
    root = directory / "server"
    return root, _Builder(root, directory / "sysfs").plan


def results_of(seen: Examination) -> dict[str, CheckResult]:
    """The results of all checks, by id. Every document must decode again."""
    diagnosis, _ = diagnose(seen)
    documents.decode(documents.encode(diagnosis), type(diagnosis), "diagnosis")
    return {result.id: result for result in diagnosis.checks}


def problems_of(results: dict[str, CheckResult]) -> dict[str, str]:
    """The checks that warn or fail, with their texts."""
    return {name: f"{each.status}: {each.text}" for name, each in results.items() if each.status in ("warn", "fail")}
