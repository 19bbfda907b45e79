"""Screens as text, compared with files. UPDATE_GOLDEN=1 writes the files again: read them before you commit them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text
    from textual.app import App

DIRECTORY = Path(__file__).parents[2] / "golden" / "top"


def check(name: str, lines: list[str]) -> None:
    """Compare a screen with the file NAME.txt."""
    file, text = DIRECTORY / f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in lines)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def plain(lines: "list[Text]") -> list[str]:
    return [line.plain for line in lines]


def screen_of(app: "App[None]") -> list[str]:
    """What an application shows, without colors."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]
