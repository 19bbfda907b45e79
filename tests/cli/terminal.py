"""The command on a real terminal, whose prompts get an answer."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMPT = b"[y/N]"
_SECONDS = 60


def converse(answer: str, *words: object) -> tuple[int, str]:
    """Run cachetune on a terminal of 80 columns and answer each prompt; its exit code and what the terminal showed.

    Ctrl-D is "\x04": it goes to the terminal without a newline.
    """
    program = [sys.executable, "-m", "cachetune.cli.main", *map(str, words)]
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output = b""
        while select.select([ours], [], [], _SECONDS)[0]:
            try:
                part = os.read(ours, 4096)
            except OSError:  # it has ended
                break
            prompts = (output + part).count(PROMPT) - output.count(PROMPT)
            output += part
            if prompts:
                os.write(ours, answer.encode() if answer == "\x04" else f"{answer}\n".encode())
        code = process.wait(_SECONDS)
    os.close(ours)
    return code, output.decode().replace("\r\n", "\n")
