"""Apply the role cachetune to one host with a real ansible-playbook, over one connection of ssh."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tests import waiting
from tests.debian.root import Root
from tests.integrations.ansible.playing import BIN, settings

_BOOK = [{"hosts": "all", "gather_facts": False, "roles": ["cachetune.resctrl.cachetune"]}]


class Controller:
    """The directory of an operator, and the connection to the host."""

    def __init__(self, directory: Path, connection: Path, python: str) -> None:
        self._directory, self._connection = directory, connection
        node = {
            "ansible_user": "root",
            "ansible_ssh_args": f"-F none -o ControlMaster=no -o ControlPath={connection}",
            "ansible_python_interpreter": python,
        }
        (directory / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": node}}}))
        (directory / "install.yml").write_text(yaml.safe_dump(_BOOK))

    def play(self, variables: Mapping[str, object]) -> dict[str, int]:
        """Apply the role and return the counts of Ansible's last line; fail unless all tasks were successful."""
        code, text = self.try_to_play(variables)
        assert code == 0, text
        return {name: int(count) for name, count in re.findall(r"([a-z]+)=([0-9]+)", text.partition("PLAY RECAP")[2])}

    def try_to_play(self, variables: Mapping[str, object]) -> tuple[int, str]:
        """Apply the role; the exit code, and what Ansible printed."""
        (self._directory / "variables.yml").write_text(yaml.safe_dump(dict(variables)))
        words = ["-i", "inventory.yml", "-e", "@variables.yml", "install.yml"]
        command = [BIN / "ansible-playbook", *words]
        environment = settings(self._directory)
        done = waiting.run(command, cwd=self._directory, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def run(self, line: str) -> str:
        """Run a line of shell on the host and return all that it prints; fail unless it is successful."""
        done = waiting.run([*_SSH, "-S", self._connection, "node", line], stdout=-1, stderr=-2, text=True)
        assert done.returncode == 0, f"{line}: exit {done.returncode}\n{done.stdout[-4000:]}"
        return str(done.stdout)


_SSH = ("/usr/bin/ssh", "-F", "none", "-l", "root")


def admit(root: Root, directory: Path) -> None:
    """Let the operator of the directory in as root."""
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key"], check=True)
    (root.directory / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root.directory / "root/.ssh/authorized_keys").write_text((directory / "key.pub").read_text())


@contextlib.contextmanager
def connected(directory: Path, options: Sequence[str], python: str) -> Iterator[Controller]:
    """The controller of an operator who was admitted. ``options`` say how ssh comes to the host's sshd."""
    with tempfile.TemporaryDirectory(prefix="ssh-") as short:  # the path of a socket has at most 107 bytes
        connection = Path(short, "connection")
        new = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        command = [*_SSH, *new, "-i", directory / "key", *options, "-N", "-M", "-S", connection, "node"]
        with subprocess.Popen(command) as ssh:
            try:
                waiting.until(lambda: connection.exists() or ssh.poll() is not None, "ssh")
                assert ssh.poll() is None, f"ssh: exit {ssh.returncode}"
                yield Controller(directory, connection, python)
            finally:
                ssh.terminate()
