"""The pictures of the manual, drawn by the program itself: ``python -m tests.pictures`` writes docs/pictures again."""

import asyncio
import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from cachetune.cli.top.app import TopApp
from cachetune.cli.top.view import View
from tests.cli.top.scenes import MIB, host, look, reading

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 100
# On a terminal, in the root of the repository.
COMMANDS = {
    "plan": "cachetune plan --host sim:skylake-2s --shrink-default --vcpu 0=4711 --vcpu 1=4712 examples/web.xml",
    "show": "cachetune show --host examples/fragmented.json",
    "validate": "cachetune validate --host sim:skylake-2s examples/web.xml",
}
WEB, DB, MAIL = "cachetune-web-vcpus_0-3", "cachetune-db-vcpus_0-7", "mon_groups/cachetune-mail-vcpus_0-1"


def pictures() -> dict[str, str]:
    """The SVG of each picture by its name."""
    return {"top": top()} | {name: terminal(command) for name, command in COMMANDS.items()}


def terminal(command: str) -> str:
    """A terminal in which the command has been typed."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(f"$ {command}", soft_wrap=False, highlight=False, style="bold")
    console.print(Text.from_ansi(_printed(command)))
    return _svg(console, command)


def top() -> str:
    """The live view of a host with three guests: one fills its ways, one has room, one is only monitored."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    seen = look(
        of := host({".": (0x7C0, 0x7F0), WEB: (0x00F, 0x003), DB: (0x030, 0x00C), MAIL: ()}),
        [
            reading(of, ".", (8 * MIB, 120.0, 95.0), (9 * MIB, 64.0, 61.0)),
            reading(of, MAIL, (MIB // 4, 0.3, 0.1), (MIB, 2.5, 1.5), guest="mail"),
            reading(of, WEB, (int(8.9 * MIB), 412.0, 400.0), (MIB, 12.0, 9.0), guest="web"),
            reading(of, DB, (int(4.4 * MIB), 5621.0, 4210.0), (2 * MIB, 710.0, 65.0), guest="db"),
        ],
    )
    app = TopApp(lambda: seen, seen, 1000.0, View(), 1.0)

    async def screen() -> str:
        async with app.run_test(size=(COLUMNS, 12)) as pilot:
            await pilot.press("end")  # the selected line is one at the end, so that the others have their colors
            await pilot.pause()
            return app.export_screenshot(title="cachetune top")

    return re.sub("terminal-[0-9]+", "top", _local(asyncio.run(screen())))


def _printed(command: str) -> str:
    """What the command prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "cachetune", *shlex.split(command)[1:]]
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        printed = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return printed.decode().replace("\r\n", "\n").rstrip("\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the program has ended
        return b""


def _svg(console: Console, title: str) -> str:
    return _local(console.export_svg(title=title.partition(" --")[0], theme=MONOKAI, unique_id="picture"))


def _local(svg: str) -> str:
    """The SVG with the reader's fonts: no request to another server."""
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code,", "")


def main() -> None:
    """Write the files."""
    for name, svg in pictures().items():
        (PICTURES / f"{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
