"""TAB in real shells: each runs in a terminal, and the test reads what the terminal shows after TAB.

Each shell gets the script in its start file, and once more in the file where it looks for completions of a command.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.top.tmux import ROOT, Terminal, terminal
from tests.guests.lookalike import add_process
from tests.missing import skip_without

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("completion in shells")]

PROMPT = "ready>"
BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")
PACKAGED = ("bash with bash-completion", "zsh from fpath", "fish from vendor_completions.d")
_PATIENCE_SECONDS = 15.0
FRAMEWORK = Path("/usr/share/bash-completion/bash_completion")
HOSTILE = "a;touch $(touch pwned)`touch pwned`'b"


class Shell:
    """A shell that waits for a command in a directory with a few files."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        self.terminal, self.name = terminal, name

    def type(self, line: str) -> None:
        """Type on an empty line of an empty screen, and press TAB."""
        self.clear()
        self.terminal.type(line)
        self.terminal.wait_for(f"{PROMPT} {' '.join(line.split())}")
        self.terminal.press("Tab")

    def clear(self) -> None:
        """Drop what is typed and shown."""
        self.terminal.press("C-u")
        self.terminal.press("C-l")
        self.terminal.wait_until(lambda: self.terminal.words == PROMPT, "an empty line")

    def becomes(self, line: str, completed: str) -> None:
        """TAB makes ``completed`` of the line: the only thing that it can be."""
        self.type(line)
        self.wait_for(f"{PROMPT} {completed}")

    def offers(self, line: str, *texts: str) -> None:
        """TAB lists these, among others."""
        self.type(line)
        self.wait_for(*texts)

    def wait_for(self, *texts: str) -> None:
        """Wait until all of these are shown; TAB again where a loaded machine took more than the 200 ms that it has."""
        pressed = time.monotonic()

        def is_shown() -> bool:
            nonlocal pressed
            if all(text in self.terminal.words for text in texts):
                return True
            if time.monotonic() - pressed > _PATIENCE_SECONDS:
                self.terminal.press("Tab")
                pressed = time.monotonic()
            return False

        self.terminal.wait_until(is_shown, f"{texts} on the screen")

    @property
    def has_descriptions(self) -> bool:
        return not self.name.startswith("bash")


def saved(shell: str, path: Path) -> None:
    """The script as a file, as packages install it."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        subprocess.run([BIN / "cachetune", "completion", shell], stdout=file, check=True)


def bash(home: Path, *, framework: bool) -> tuple[list[str], dict[str, str]]:
    lines = [f"PS1='{PROMPT} '", "bind 'set show-all-if-ambiguous on'", "bind 'set bell-style none'"]
    if framework:
        saved("bash", home / "user/completions/cachetune")
        lines.append(f". {FRAMEWORK}")
    else:
        lines.append('eval "$(cachetune completion bash)"')
    (home / "bashrc").write_text("\n".join(lines) + "\n")
    return ["bash", "--noprofile", "--rcfile", f"{home}/bashrc"], {"BASH_COMPLETION_USER_DIR": f"{home}/user"}


def zsh(home: Path, *, fpath: bool) -> tuple[list[str], dict[str, str]]:
    lines = [f"PS1='{PROMPT} '", "PROMPT_EOL_MARK=", "autoload -Uz compinit", f"compinit -u -d {home}/zcompdump"]
    if fpath:
        saved("zsh", home / "functions/_cachetune")
        lines.insert(0, f"fpath=({home}/functions $fpath)")
    else:
        lines.append('eval "$(cachetune completion zsh)"')
    (home / ".zshrc").write_text("\n".join(lines) + "\n")
    return ["zsh", "--no-global-rcs"], {"ZDOTDIR": f"{home}"}


def fish(home: Path, *, vendor: bool) -> tuple[list[str], dict[str, str]]:
    lines = ["function fish_greeting; end", f"function fish_prompt; echo -n '{PROMPT} '; end"]
    lines.append("set -g fish_autosuggestion_enabled 0")
    if vendor:
        saved("fish", home / "share/fish/vendor_completions.d/cachetune.fish")
    else:
        lines.append("cachetune completion fish | source")
    (home / ".config/fish").mkdir(parents=True)
    (home / ".config/fish/config.fish").write_text("\n".join(lines) + "\n")
    return ["fish"], {"XDG_DATA_DIRS": f"{home}/share:/usr/share"}


STARTED: dict[str, Callable[[Path], tuple[list[str], dict[str, str]]]] = {
    "bash": lambda home: bash(home, framework=False),
    "bash with bash-completion": lambda home: bash(home, framework=True),
    "zsh": lambda home: zsh(home, fpath=False),
    "zsh from fpath": lambda home: zsh(home, fpath=True),
    "fish": lambda home: fish(home, vendor=False),
    "fish from vendor_completions.d": lambda home: fish(home, vendor=True),
}


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that got the script in its start file."""
    with started(request.param, tmp_path_factory.mktemp("home")) as shell:
        yield shell


@pytest.fixture(scope="module", params=PACKAGED)
def packaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that finds the script where packages put it."""
    with started(request.param, tmp_path_factory.mktemp("home")) as shell:
        yield shell


@contextmanager
def started(name: str, home: Path) -> Iterator[Shell]:
    """A shell at its prompt, in a home with snapshots, files, a resctrl tree and processes."""
    if shutil.which(name.split(maxsplit=1)[0]) is None or ("with bash-completion" in name and not FRAMEWORK.exists()):
        skip_without(f"{name} is missing (Debian packages bash-completion, zsh and fish)")
    for file in ("node7.json", "other.txt", "web.xml", "my guests/big one.xml"):
        (home / file).parent.mkdir(exist_ok=True)
        (home / file).touch()
    (home / "saved").mkdir()
    shutil.copy(ROOT / "examples/fragmented.json", home / "saved/node8.json")
    (home / "resctrl").mkdir()
    (home / "resctrl/schemata").write_text("MB:0=100;1=100\nL3:0=7ff;1=7ff\n")
    for pid, guest in enumerate(("web", "db", HOSTILE), 40):
        arguments = ["qemu-system-x86_64", "-name", f"guest={guest}"]
        add_process(home / "proc", pid, {pid: "qemu-system-x86"}, arguments=arguments)
    command, environment = STARTED[name](home)
    environment |= {"HOME": f"{home}", "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "screen"}
    with terminal(["env", "-C", home, *command], 100, 50, **environment) as opened:
        opened.wait_for(PROMPT)
        yield Shell(opened, name)


def test_a_verb_is_completed(shell: Shell) -> None:
    shell.becomes("cachetune snap", "cachetune snapshot")


def test_all_verbs_are_listed(shell: Shell) -> None:
    shell.offers("cachetune re", "remove", "recover", "record", "report")
    if shell.has_descriptions:
        shell.terminal.wait_for("Remove a guest's groups.")


def test_options_are_completed_and_listed(shell: Shell) -> None:
    shell.becomes("cachetune plan --shr", "cachetune plan --shrink-default")
    shell.offers("cachetune plan --c", "--compact", "--connect", "--cgroup")


def test_the_choices_of_an_option_are_completed(shell: Shell) -> None:
    shell.becomes("cachetune top --sort occ", "cachetune top --sort occupancy")


def test_simulated_hosts_are_completed_after_the_colon(shell: Shell) -> None:
    shell.becomes("cachetune plan --host sim:sk", "cachetune plan --host sim:skylake-2s")
    shell.becomes("cachetune plan --host=sim:sk", "cachetune plan --host=sim:skylake-2s")
    shell.becomes("cachetune plan --host si", "cachetune plan --host sim:")
    shell.offers("cachetune plan --host sim:sapphire-rapids", "rapids-cdp", "rapids-snc2")


def test_snapshots_are_the_files_that_a_host_can_be(shell: Shell) -> None:
    shell.becomes("cachetune plan --host n", "cachetune plan --host node7.json")
    shell.becomes("cachetune plan --host=n", "cachetune plan --host=node7.json")
    shell.offers("cachetune plan --host ", "sim:", "node7.json")
    assert "other.txt" not in shell.terminal.words


def test_files_are_completed_as_everywhere_in_the_shell(shell: Shell) -> None:
    shell.becomes("cachetune plan oth", "cachetune plan other.txt")
    shell.becomes("cachetune plan -o ~/oth", "cachetune plan -o ~/other.txt")
    shell.becomes("cachetune plan my", r"cachetune plan my\ guests/")
    shell.becomes(r"cachetune plan my\ guests/b", r"cachetune plan my\ guests/big\ one.xml")
    shell.becomes('cachetune plan "my guests/b', 'cachetune plan "my guests/big one.xml"')
    shell.becomes("cachetune report --db oth", "cachetune report --db other.txt")


def test_a_redirection_is_completed_with_files(shell: Shell) -> None:
    shell.becomes("cachetune show > oth", "cachetune show > other.txt")


def test_directories_are_completed(shell: Shell) -> None:
    shell.becomes("cachetune show --resctrl my", r"cachetune show --resctrl my\ guests/")
    shell.becomes("cachetune show --resctrl=res", "cachetune show --resctrl=resctrl/")


def test_running_guests_are_completed(shell: Shell) -> None:
    shell.becomes("cachetune plan --proc proc --guest w", "cachetune plan --proc proc --guest web")
    shell.becomes("cachetune set --proc proc d", "cachetune set --proc proc db")


def test_guests_of_a_snapshot_are_completed(shell: Shell) -> None:
    line = "cachetune fit --from saved/node8.json --guest m"
    shell.becomes(line, f"{line}ail")


def test_the_name_of_a_guest_is_only_text(shell: Shell) -> None:
    shell.type("cachetune plan --proc proc --guest a")
    shell.wait_for("touch")
    shell.terminal.press("Enter")  # the verb fails: there is no such guest
    shell.terminal.wait_for("error:")
    assert not (Path(shell.terminal.directory) / "pwned").exists()


def test_the_ids_of_this_hosts_caches_are_completed(shell: Shell) -> None:
    shell.offers("cachetune set --resctrl resctrl web --l3 ", "0=", "1=")
    shell.becomes("cachetune set --resctrl resctrl web --l3 1", "cachetune set --resctrl resctrl web --l3 1=")


def test_rules_are_completed(shell: Shell) -> None:
    shell.offers("cachetune explain CT20", "CT201", "CT207")
    if shell.has_descriptions:
        shell.terminal.wait_for("The requested ways must fit into contiguous free ways.")


def test_the_shells_that_have_scripts_are_completed(shell: Shell) -> None:
    shell.becomes("cachetune completion z", "cachetune completion zsh")


def test_a_second_command_of_the_line_is_completed(shell: Shell) -> None:
    shell.becomes("echo a b; cachetune snap", "echo a b; cachetune snapshot")


def test_the_file_of_a_package_completes(packaged: Shell) -> None:
    packaged.becomes("cachetune snap", "cachetune snapshot")
    packaged.becomes("cachetune plan --host=sim:sk", "cachetune plan --host=sim:skylake-2s")
    packaged.becomes(r"cachetune plan my\ guests/b", r"cachetune plan my\ guests/big\ one.xml")
