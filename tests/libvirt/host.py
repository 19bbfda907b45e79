"""A private host: libvirtd, virsh and QEMU as Debian has them, over a simulated resctrl on /sys/fs/resctrl.

``LibvirtHost`` is a context manager. Inside it has its own mounts, processes, System V IPC and network; /tmp and the
programs are this machine's. Nothing of it is left when the block ends, also when this process is killed: the first
process inside reads a pipe of ours and ends when that does, and the kernel ends the rest.

    with LibvirtHost("skylake-2s") as host:
        host.write("schemata", "L3:0=00f;1=00f")
        host.start(DOMAIN_XML)
        print(host.cachetune("show").stdout)
        print(host.tree())

Root only; ``missing()`` says what else is not there. A host takes about two seconds, a guest about one.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from uuid import NAMESPACE_DNS, uuid5

import msgspec

from cachetune.sim import decode_profile, load_profile, write_sysfs
from cachetune.sim.profile import Profile
from tests import namespaces, waiting

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PYTHON = sys.executable
PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter", "fusermount3")
DRIVERS = Path("/usr/lib", f"{os.uname().machine}-linux-gnu", "libvirt/connection-driver")
QEMU_DRIVER = "libvirt_driver_qemu.so"
RESCTRL = "sys/fs/resctrl"

QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirtd.log"
"""

_NAMESPACES = {"mount": "mnt", "ipc": "ipc", "net": "net", "uts": "uts", "pid": "pid_for_children"}


class Group(msgspec.Struct, frozen=True):
    """A group as its files show it: ``schemata`` is "" for a monitor group, ``tids`` are those of ``tasks``."""

    schemata: str
    tids: tuple[int, ...]


class HostError(AssertionError):
    """The private host could not do what a test needs of it."""


def missing() -> str:
    """Why there can be no such host here; "" when there can."""
    return namespaces.missing(PROGRAMS, DRIVERS / QEMU_DRIVER, packages="test-libvirt in the Makefile")


class LibvirtHost:
    """One host; see the module. ``files`` maps absolute paths below /etc, /run and /var to their content.

    A file that begins with "#!" can be run. ``profile`` is a name, a file, or a Profile; ``environment`` is added to
    that of libvirtd, and so of hooks and QEMU. ``packages`` are unpacked Debian packages that are there instead of the
    installed ones. ``name`` is the host's name: two hosts between which guests move need different ones.
    """

    def __init__(
        self,
        profile: str | Path | Profile = "skylake-2s",
        *,
        kernel: str = "6.12",
        files: Mapping[str, str | bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        packages: Path | None = None,
        name: str = "private",
    ) -> None:
        self.name = name
        self.profile = _profile(profile)
        self._packages = packages
        self._kernel, self._files, self._environment = kernel, dict(files or {}), dict(environment or {})

    def __enter__(self) -> "LibvirtHost":
        if why := missing():
            raise HostError(why)
        self.stage = Path(tempfile.mkdtemp(prefix="libvirt-host-"))
        self._prepare()
        words = ["unshare", "--mount", "--pid", "--ipc", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"]
        self._first = subprocess.Popen(
            [
                *words,
                PYTHON,
                "-I",
                HERE / "inside.py",
                self.stage,
                self.name,
                *([self._packages] if self._packages else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._wait_for_first()
            self.mount()
            self.start_libvirtd()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """The processes from which all others inside descend, for waiting."""
        return [self._first.pid]

    @property
    def root(self) -> Path:
        """The host's root directory as it is seen from outside: files can be read and written there."""
        return Path(f"/proc/{self._first.pid}/root")

    # -- programs -----------------------------------------------------------------------------------------------

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end. With ``check`` a failure is a HostError.

        This repository's own programs come first, before any that are installed, and "python" is this one.
        """
        done = waiting.run(
            self._enter(words), input=stdin, env=self._env(env), text=True, capture_output=True, also=self.pids
        )
        if check and done.returncode:
            raise HostError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}{self.log()}")
        return done

    def popen(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Begin a program inside, with pipes for stdout and stderr; it ends with the host at the latest."""
        return subprocess.Popen(
            self._enter(words),
            env=self._env(env),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def cachetune(self, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command of this repository inside."""
        return self.run("cachetune", *words, stdin=stdin)

    def virsh(self, *words: str | Path, stdin: str = "", check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run virsh inside."""
        return self.run("virsh", "-q", *words, stdin=stdin, check=check)

    # -- guests -------------------------------------------------------------------------------------------------

    def define(self, xml: str) -> None:
        """Make a guest known to libvirt. Raises HostError with what virsh says."""
        self.virsh("define", "/dev/stdin", stdin=xml, check=True)

    def start(self, name: str) -> None:
        """Start a guest that is known; it stays paused, which its threads do not mind."""
        self.virsh("start", name, "--paused", check=True)

    def create(self, xml: str) -> subprocess.CompletedProcess[str]:
        """Start a guest that libvirt forgets when it ends. Returns virsh's answer, also a refusal."""
        return self.virsh("create", "/dev/stdin", "--paused", stdin=xml)

    def destroy(self, name: str) -> None:
        """End a guest."""
        self.virsh("destroy", name, check=True)

    def live_xml(self, name: str) -> str:
        """The XML of a running guest, as libvirt gives it."""
        return self.virsh("dumpxml", name, check=True).stdout

    def pid(self, name: str) -> int:
        """The process of a running guest, as it is numbered inside."""
        return int((self.root / f"run/libvirt/qemu/{name}.pid").read_text())

    def vcpu_tids(self, name: str) -> dict[int, int]:
        """vCPU to thread, as libvirt wrote it down."""
        status = (self.root / f"run/libvirt/qemu/{name}.xml").read_text()
        return {int(v): int(t) for v, t in re.findall(r"<vcpu id='([0-9]+)' pid='([0-9]+)'", status)}

    # -- resctrl ------------------------------------------------------------------------------------------------

    @property
    def resctrl(self) -> Path:
        """The mounted resctrl, from outside."""
        return self.root / RESCTRL

    def read(self, path: str) -> str:
        """A file of resctrl."""
        return (self.resctrl / path).read_text()

    def write(self, path: str, text: str) -> None:
        """Write to a file of resctrl, as ``echo`` does."""
        fd = os.open(self.resctrl / path, os.O_WRONLY)
        try:
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)

    def tree(self) -> dict[str, Group]:
        """All groups by path relative to resctrl's root, "." being the default group."""
        return {path: self._group(path) for path in _groups(self.resctrl)}

    def mount(self, *options: str) -> None:
        """Mount the simulated resctrl; the machine's threads are its tasks."""
        words: list[str | Path] = [
            "--profile",
            self.stage / "profile.json",
            "--kernel",
            self._kernel,
            "--background",
            *options,
        ]
        self.run("cachetune", "sim", "mount", f"/{RESCTRL}", *words, check=True)

    def unmount(self) -> None:
        """Unmount it, so that it can be mounted afresh."""
        self.run("cachetune", "sim", "unmount", f"/{RESCTRL}", check=True)

    # -- libvirtd -----------------------------------------------------------------------------------------------

    def start_libvirtd(self) -> None:
        """Start libvirtd; returns when it answers and has taken up the guests that run.

        One that is destroyed before that leaves its groups behind.
        """
        env = {"LIBVIRT_DRIVER_DIR": f"{self.stage}/drivers", **self._environment}
        self.run("libvirtd", "--daemon", env=env, check=True)
        self.virsh("version", check=True)
        for status in (self.root / "run/libvirt/qemu").glob("*.xml"):
            self.virsh("dommemstat", status.stem)  # a question that waits for the guest's turn

    def stop_libvirtd(self, signal: str = "TERM") -> None:
        """End libvirtd; its guests keep running. Returns when it has ended."""
        pid = int((self.root / "run/libvirtd.pid").read_text())
        self.run("/bin/kill", f"-{signal}", str(pid), check=True)
        self._wait_for_end(pid)

    def restart_libvirtd(self) -> None:
        """End libvirtd and start it again."""
        self.stop_libvirtd()
        self.start_libvirtd()

    def libvirtd_died(self, asked: subprocess.CompletedProcess[str]) -> bool:
        """Whether libvirtd died of what virsh asked it; if so, it has ended when this returns."""
        died = any(words in asked.stderr for words in ("End of file while reading", "Connection reset", "Cannot recv"))
        if died:
            self._wait_for_end(int((self.root / "run/libvirtd.pid").read_text()))
        return died

    def libvirt_version(self) -> str:
        """The version of libvirtd, such as "9.0.0"."""
        said = self.virsh("version", "--daemon", check=True).stdout
        found = re.search(r"against daemon: ([0-9.]+)", said) or re.search(r"libvirt ([0-9.]+)", said)
        if found is None:
            raise HostError(f"virsh does not report its version: {said}")
        return found[1]

    def log(self) -> str:
        """What libvirtd had to say."""
        file = self.root / "var/log/libvirtd.log"
        return file.read_text() if file.exists() else ""

    # -- how ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Lay out what the first process needs."""
        stage = self.stage
        for name in ("bin", "drivers", "files", "sys"):
            (stage / name).mkdir()
        (stage / "profile.json").write_bytes(msgspec.json.encode(self.profile))
        write_sysfs(self.profile, stage / "sys")
        (stage / "drivers" / QEMU_DRIVER).symlink_to(DRIVERS / QEMU_DRIVER)
        _program(stage / "bin/qemu-system-x86_64", f"{PYTHON} -IS", (HERE / "qemu_shim.py").read_text())
        for name, place in _own_programs().items():
            module, _, function = place.partition(":")
            _program(
                stage / "bin" / name, PYTHON, f"from {module} import {function} as main\nraise SystemExit(main())\n"
            )
        _program(stage / "bin/python", "/bin/sh", f'exec {PYTHON} "$@"\n')  # a link would not find its packages
        libvirtd = f'{LIBVIRTD_CONF}host_uuid = "{uuid5(NAMESPACE_DNS, self.name)}"\n'
        files = {"/etc/libvirt/qemu.conf": QEMU_CONF, "/etc/libvirt/libvirtd.conf": libvirtd, **self._files}
        for path, content in files.items():
            file = stage / "files" / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            file.write_bytes(data)
            file.chmod(0o755 if data.startswith(b"#!") else 0o644)

    def _wait_for_first(self) -> None:
        stdout, pid = self._first.stdout, self._first.pid
        if not stdout or waiting.readline(stdout, "the start of the private host", pids=[pid]) != "ready\n":
            raise HostError("the private host does not start")

    def _enter(self, words: tuple[str | Path, ...]) -> list[str]:
        namespaces = f"/proc/{self._first.pid}/ns"
        place = [f"--{name}={namespaces}/{file}" for name, file in _NAMESPACES.items()]
        return ["nsenter", *place, "--", *map(str, words)]

    def _env(self, more: Mapping[str, str] | None) -> dict[str, str]:
        own = {"PATH": f"{self.stage}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        return {**os.environ, **own, "LC_ALL": "C.UTF-8", **(more or {})}

    def _wait_for_end(self, pid: int) -> None:
        self.run("tail", "-s", "0.05", f"--pid={pid}", "-f", "/dev/null", check=True)

    def _group(self, path: str) -> Group:
        schemata = self.resctrl / path / "schemata"
        tids = tuple(sorted(map(int, (self.resctrl / path / "tasks").read_text().split())))
        return Group(schemata.read_text() if schemata.exists() else "", tids)

    def _end(self) -> None:
        _, said = waiting.finish(self._first)  # the end of its input is the end of the host
        if self._first.returncode:
            shutil.rmtree(self.stage, ignore_errors=True)
            raise HostError(f"the private host did not end well: {said}")


def _profile(profile: str | Path | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    return load_profile(profile) if isinstance(profile, str) else decode_profile(profile.read_bytes(), profile.name)


def _own_programs() -> dict[str, str]:
    """The programs that the package installs, with "module:function" of each."""
    scripts: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return scripts


def _program(file: Path, interpreter: str, code: str) -> None:
    file.write_text(f"#!{interpreter}\n{code}")
    file.chmod(0o755)


def _groups(resctrl: Path) -> Iterator[str]:
    """Every directory with tasks, the root first; without monitoring there can be a control group "mon_groups"."""
    yield "."
    for entry in (*_with_tasks(resctrl / "mon_groups"), *_with_tasks(resctrl)):
        yield str(entry.relative_to(resctrl))
        yield from (str(monitor.relative_to(resctrl)) for monitor in _with_tasks(entry / "mon_groups"))


def _with_tasks(directory: Path) -> list[Path]:
    return [tasks.parent for tasks in sorted(directory.glob("*/tasks"))]
