"""A fleet: hosts as namespaces of this machine, and the network from which Ansible reaches them over ssh.

``Fleet`` is a context manager. A host has its own root, processes, network and name, a simulated resctrl on
/sys/fs/resctrl, real guests and a real sshd with keys made for the fleet. The programs are this machine's and this
repository's; nothing that a host writes reaches the machine. Nothing of it is left when the block ends, also when this
process is killed: the first process reads a pipe of ours and ends when that does, and the kernel ends the rest.

    with Fleet(SIX) as fleet:
        print(fleet.host("skylake").run("cachetune", "show").stdout)
        print(fleet.ansible("-m", "ansible.builtin.ping", "all").stdout)

Root only; ``missing()`` says what else is not there. Six hosts take about six seconds of two CPUs.
"""

import compileall
import hashlib
import ipaddress
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import yaml

from cachetune.sim import load_profile, write_sysfs
from tests import namespaces, waiting
from tests.integrations.ansible.fleet.hosts import HostSpec
from tests.integrations.ansible.playing import BIN, COLLECTIONS, ROOT

HERE = Path(__file__).parent
PYTHON = sys.executable
PROGRAMS = ("ip", "nsenter", "pivot_root", "qemu-system-x86_64", "ssh", "ssh-keygen", "unshare")
NETWORK = ipaddress.ip_network("10.213.0.0/16")  # its own: no other network namespace sees it
# Without -B, each host would compile its own copy of the modules.
CHECKOUT = "/usr/local/lib/cachetune"  # where a host has this repository: its own place may be one that systemd hides
CACHETUNE = f"""\
#!{PYTHON} -IB
import sys
sys.path.insert(0, "{CHECKOUT}")
from cachetune.cli.main import main
raise SystemExit(main())
"""

SSHD_CONFIG = """\
HostKey /etc/ssh/fleet/host_key
AuthorizedKeysFile /etc/ssh/fleet/authorized_keys
StrictModes yes
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
PidFile /run/sshd.pid
AcceptEnv LANG LC_*
"""
ANSIBLE_CFG = """\
[defaults]
inventory = {stage}/inventory.yml
forks = 6
interpreter_python = /usr/bin/python3
collections_path = {collections}
home = {stage}/ansible
deprecation_warnings = False
nocows = True
gathering = explicit
[ssh_connection]
pipelining = True
control_path_dir = {stage}/cp
ssh_args = -C -o ControlMaster=auto -o ControlPersist=300s
"""


class FleetError(AssertionError):
    """The fleet could not do what a test needs of it."""


def missing() -> str:
    """Why there can be no fleet here; "" when there can."""
    return namespaces.missing(PROGRAMS, Path("/usr/sbin/sshd"), packages="PACKAGES_UNIT in the Makefile")


class FleetHost:
    """One running host."""

    def __init__(self, spec: HostSpec, address: str, directory: Path, process: "subprocess.Popen[str]") -> None:
        self.spec, self.address, self.directory, self._process = spec, address, directory, process

    @property
    def pid(self) -> int:
        """The host's first process, as this machine numbers it."""
        (unshare,) = _children(self._process.pid)
        (first,) = _children(unshare)
        return first

    @property
    def root(self) -> Path:
        """The host's root directory as it is seen from outside: files can be read and written there."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def resctrl(self) -> Path:
        """The mounted resctrl, from outside."""
        return self.root / "sys/fs/resctrl"

    def run(self, *words: str | Path, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run a program on the host to its end. Raises FleetError unless it exits with ``code``, or any with None."""
        enter = ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd=/", "--", *map(str, words)]
        done = waiting.run(enter, env=_environment(), text=True, capture_output=True)
        if code is not None and done.returncode != code:
            raise FleetError(
                f"{self.spec.name}: {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def document(self, *words: str, code: int | None = 0) -> Any:
        """Run a verb of cachetune with --json on the host and return its document."""
        return json.loads(self.run("cachetune", *words, "--json", code=code).stdout)

    def write(self, path: str, text: str) -> None:
        """Write a file of resctrl, as ``echo`` does on the host."""
        with (self.resctrl / path).open("w") as file:
            file.write(f"{text}\n")

    def groups(self) -> dict[str, dict[str, str]]:
        """What resctrl has: of each group its masks and, except for the default group, its threads."""
        if not self.spec.profile:
            return {}
        paths = [self.resctrl, *(tasks.parent for tasks in sorted(self.resctrl.glob("**/tasks")))]
        found = {}
        for path in dict.fromkeys(paths):
            name = str(path.relative_to(self.resctrl))
            files = ("schemata", "mode") if name == "." else ("schemata", "mode", "tasks")
            found[name] = {file: (path / file).read_text() for file in files if (path / file).exists()}
        return found

    def tree(self) -> dict[str, str]:
        """What is on the host and not on this machine, as a hash by path: every written file, /run, and the groups."""
        found = {f"resctrl/{name}": _hashed(repr(files).encode()) for name, files in self.groups().items()}
        for name, top in (("", self.directory / "upper"), ("run/", self.root / "run")):
            found |= {f"{name}{path}": said for path, said in _entries(top) if not path.startswith(_OF_ANSIBLE)}
        return found


# What sshd and Ansible leave on any host.
_OF_ANSIBLE = ("root/.ansible", "var/log/wtmp", "var/log/lastlog", "utmp", "sshd.pid")


class Fleet:
    """The hosts; see the module. ``add`` starts more of them."""

    def __init__(self, specs: Sequence[HostSpec]) -> None:
        self._specs = specs
        self.hosts: dict[str, FleetHost] = {}

    def __enter__(self) -> "Fleet":
        if why := missing():
            raise FleetError(why)
        self.stage = Path(tempfile.mkdtemp(prefix="fleet-"))
        self._prepare()
        words = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
        gateway = f"{NETWORK[1]}/{NETWORK.prefixlen}"
        self._first = _started([*words, PYTHON, "-I", HERE / "controller.py", self.stage, gateway])
        try:
            _expect(self._first, "ready")
            (self._inside,) = _children(self._first.pid)
            self.add(self._specs)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def host(self, name: str) -> FleetHost:
        """A host by its name."""
        return self.hosts[name]

    def add(self, specs: Sequence[HostSpec]) -> None:
        """Start hosts, all at once, and write the inventory again."""
        first = len(self.hosts)
        begun = [self._begin(spec, number) for number, spec in enumerate(specs, first)]
        self.hosts |= {host.spec.name: host for host in begun}
        for number, host in enumerate(begun, first):
            _expect(host._process, "network")
            self._link(number, host)
        for host in begun:
            _expect(host._process, "ready")
        self.write_inventory()

    def restart(self, name: str) -> None:
        """Start sshd again on a host where it was killed."""
        self.host(name).run("/usr/sbin/sshd", "-f", "/etc/ssh/fleet/sshd_config")

    def ansible(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run ``ansible`` where the hosts can be reached."""
        return self.run(BIN / "ansible", *words)

    def playbook(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run ``ansible-playbook`` where the hosts can be reached."""
        return self.run(BIN / "ansible-playbook", *words)

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a program of this machine in the network of the hosts."""
        enter = ["nsenter", f"--target={self._inside}", "--mount", "--pid", "--net", f"--wd={self.stage}", "--"]
        env = _environment(ANSIBLE_CONFIG=f"{self.stage}/ansible.cfg")
        return waiting.run([*enter, *map(str, words)], env=env, text=True, capture_output=True, also=[self._first.pid])

    def traffic_bytes(self) -> dict[str, int]:
        """The bytes sent to each host and received from it, by its network card."""
        links = json.loads(self.run("ip", "-s", "-j", "link").stdout)
        sums = {link["ifname"]: link["stats64"]["rx"]["bytes"] + link["stats64"]["tx"]["bytes"] for link in links}
        return {name: sums[f"host{number}"] for number, name in enumerate(self.hosts)}

    def write_inventory(self, **variables: Any) -> None:
        """Write the inventory: the group ``fleet`` with all hosts, and variables of all of them."""
        ssh = {"ansible_user": "root", "ansible_ssh_private_key_file": f"{self.stage}/key"}
        ssh["ansible_ssh_common_args"] = f"-F none -o UserKnownHostsFile={self.stage}/known_hosts"
        hosts = {name: {"ansible_host": host.address} for name, host in self.hosts.items()}
        inventory = {"fleet": {"hosts": hosts, "vars": {**ssh, **variables}}}
        (self.stage / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
        key = (self.stage / "host_key.pub").read_text()
        (self.stage / "known_hosts").write_text("".join(f"{host.address} {key}" for host in self.hosts.values()))

    # -- how ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for name in ("hosts", "cp"):
            (self.stage / name).mkdir(mode=0o700)
        for name in ("key", "host_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", self.stage / name]
            subprocess.run(command, check=True)
        compileall.compile_dir(ROOT / "cachetune", quiet=2)
        config = ANSIBLE_CFG.format(stage=self.stage, collections=COLLECTIONS)
        (self.stage / "ansible.cfg").write_text(config)

    def _begin(self, spec: HostSpec, number: int) -> FleetHost:
        """Lay out what the host's first process needs, and start it."""
        address = str(NETWORK[256 + number])
        within = self.stage / "hosts" / spec.name  # as the processes of the fleet see it
        directory = Path(f"/proc/{self._inside}/root{within}")
        (directory / "files").mkdir(parents=True)
        _lay_out(spec, directory / "files", self.stage)
        if spec.profile:
            write_sysfs(load_profile(spec.profile), directory / "sys")
        about = {
            **msgspec.to_builtins(spec),
            "address": f"{address}/{NETWORK.prefixlen}",
            "guests": [{"command": guest.command()} for guest in spec.guests],
            "simulator": [PYTHON, "-IB", "-m", "cachetune"],
            "shared": [(CHECKOUT, str(ROOT)), *((path, path) for path in _hidden())],
        }
        (directory / "host.json").write_text(json.dumps(about))
        enter = ["nsenter", f"--target={self._inside}", "--mount", "--pid", "--net", "--"]
        alone = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
        return FleetHost(spec, address, directory, _started([*enter, *alone, PYTHON, "-I", HERE / "node.py", within]))

    def _link(self, number: int, host: FleetHost) -> None:
        """Give the host a network card, and put the other end of its cable into the bridge."""
        enter = ["nsenter", f"--net=/proc/{self._inside}/ns/net", "ip"]
        other = ["peer", "name", "eth0", "netns", str(host.pid)]
        subprocess.run([*enter, "link", "add", f"host{number}", "type", "veth", *other], check=True)
        subprocess.run([*enter, "link", "set", f"host{number}", "master", "fleet", "up"], check=True)
        _tell(host._process)

    def _end(self) -> None:
        for host in self.hosts.values():
            for pipe in (host._process.stdin, host._process.stdout):
                if pipe:
                    pipe.close()
        waiting.finish(self._first)  # the end of its input is the end of all hosts
        for host in self.hosts.values():
            host._process.wait()
        shutil.rmtree(self.stage, ignore_errors=True)


def _lay_out(spec: HostSpec, files: Path, stage: Path) -> None:
    """The files of a host: its name, sshd's, the command, and no account that is locked."""
    etc = files / "etc/ssh/fleet"
    etc.mkdir(parents=True)
    (etc / "sshd_config").write_text(SSHD_CONFIG)
    shutil.copy(stage / "host_key", etc / "host_key")
    shutil.copy(stage / "key.pub", etc / "authorized_keys")
    (files / "etc/hostname").write_text(f"{spec.name}\n")
    shadow = re.sub(r"(?m)^root:[^:]*:", "root:*:", Path("/etc/shadow").read_text())
    (files / "etc/shadow").write_text(shadow)
    (files / "root").mkdir(mode=0o700)
    (files / "root/.bashrc").touch()  # that of this machine may do anything at each connection
    (files / "run/sshd").mkdir(parents=True, mode=0o755)
    program = files / "usr/local/bin/cachetune"
    program.parent.mkdir(parents=True)
    program.write_text(CACHETUNE)
    program.chmod(0o755)
    if spec.profile:
        profile = files / "var/lib/simulation/profile.json"
        profile.parent.mkdir(parents=True)
        profile.write_bytes(msgspec.json.encode(load_profile(spec.profile)))
        profile.with_name("workload.toml").write_text(spec.workload)


def _hidden() -> list[str]:
    """Directories of this repository and its Python that no overlay shows: of another file system, or below /tmp."""
    root = Path("/").stat().st_dev
    wanted = dict.fromkeys(map(Path, (ROOT, sys.prefix, sys.base_prefix)))
    return [str(path) for path in wanted if path.stat().st_dev != root or path.is_relative_to("/tmp")]  # noqa: S108


def _environment(**more: str) -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb", "COLUMNS": "120", **more}


def _started(words: Sequence[str | Path]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, words)), stdin=pipe, stdout=pipe, text=True, env=_environment())


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    """Wait for a line of a process of the fleet. Raises FleetError for another one."""
    said = waiting.readline(process.stdout, f"{word!r} of the fleet", pids=[process.pid])
    if said != f"{word}\n":
        raise FleetError(f"a host does not start: {said!r} instead of {word!r}; see stderr")


def _tell(process: "subprocess.Popen[str]") -> None:
    if process.stdin:
        process.stdin.write("done\n")
        process.stdin.flush()


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _entries(top: Path) -> Iterator[tuple[str, str]]:
    """Every entry below a directory: its path, and its kind, mode, owner and content as a hash."""
    for path in sorted(top.rglob("*")):
        about = path.lstat()
        kind = stat.S_IFMT(about.st_mode)
        content = b""
        if kind == stat.S_IFREG:
            content = path.read_bytes()
        elif kind == stat.S_IFLNK:
            content = os.fsencode(path.readlink())
        owner = f"{about.st_mode:o} {about.st_uid} {about.st_gid} {about.st_rdev} "
        yield str(path.relative_to(top)), _hashed(owner.encode() + content)


def _hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
