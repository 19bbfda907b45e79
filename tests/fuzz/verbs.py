"""Run verbs in this process, on a simulated host with a guest of ours and a group of another program."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from cachetune.apply.run import Connection, apply
from cachetune.cli.main import command
from cachetune.errors import CachetuneError
from tests.samples import host_with_guest, plan_for, web

REFUSED = 2
FOREIGN = "COS1"
WAYS = 3 << 9  # of the foreign group, on both caches

XML = """<domain type='kvm'><name>web</name><vcpu>4</vcpu><cputune>
<cachetune vcpus='0-2'><cache id='0' level='3' type='both' size='9216' unit='KiB'/>
<monitor level='3' vcpus='1'/></cachetune></cputune></domain>"""


class World:
    """The host, and the files of the verbs. ``run`` is the run directory."""

    def __init__(self, directory: Path) -> None:
        self.sim = host_with_guest("skylake-2s")
        self.run, self.xml = directory / "run", directory / "web.xml"
        self.connection = Connection(self.sim, self.run)
        directory.mkdir(parents=True)
        self.xml.write_text(XML)
        self.sim.mkdir(FOREIGN)
        self.sim.write(f"{FOREIGN}/schemata", f"L3:0={WAYS:x};1={WAYS:x}\n")
        self.sim.write("schemata", "L3:0=1ff;1=1ff\n")
        self.sim.add_task(99)
        self.sim.write(f"{FOREIGN}/tasks", "99")

    def placed(self) -> "World":
        """The host with the guest's groups, for which the default group gave up ways."""
        assert apply(plan_for(web("skylake-2s"), self.connection), self.connection).outcome == "done"
        return self

    def verb(self, *words: object) -> int:
        """Run a verb and return its exit code. It must not end otherwise, nor change what is not ours or is refused."""
        before, theirs = self.sim.tree(), self._theirs()
        code = self._code(*words)
        assert self._theirs() == theirs
        if code in (1, REFUSED):
            assert self.sim.tree() == before
        return code

    def _code(self, *words: object) -> int:
        with self._connected():
            result = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=True)
        if isinstance(result.exception, CachetuneError):
            assert str(result.exception)
            return result.exception.exit_code
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        with contextlib.ExitStack() as patches:
            for verb in ("apply", "remove", "recover"):
                where = f"cachetune.cli.commands.{verb}.connect"
                patches.enter_context(mock.patch(where, return_value=self.connection))
            yield

    def _theirs(self) -> dict[str, str]:
        return {path: text for path, text in self.sim.tree().items() if path.startswith(FOREIGN) and "mon" not in path}
