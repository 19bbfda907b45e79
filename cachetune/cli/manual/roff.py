"""man(7): escapes and the few macros that the pages use. Sources: man(7) of groff 1.22, mandoc_char(7)."""

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

_WIDTH = 78
_ESCAPES = str.maketrans(
    {
        "\\": "\\e",
        "-": "\\-",
        "'": "\\(aq",
        "`": "\\(ga",
        "^": "\\(ha",
        "~": "\\(ti",
        '"': "\\(dq",
        "…": "...",
    }
)
_PROSE = {**_ESCAPES, ord("-"): "-", ord("'"): "'"}
_OPTION = re.compile(r"(?<![\w/.-])(--?[a-zA-Z][\w-]*)")
_PAGE = re.compile(r"\b(cachetune[\w.-]*|resctrl|qemu|libvirtd|systemd[\w.-]*)\(([1-8])\)")
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z<'\"-])")


def code(text: str) -> str:
    """A text to be copied from the page, character by character."""
    return text.translate(_ESCAPES)


def bold(text: str) -> str:
    """A bold text, as it is typed."""
    return f"\\fB{code(text)}\\fR"


def italic(text: str) -> str:
    """A text in italics: something to be replaced."""
    return f"\\fI{code(text)}\\fR"


def values(text: str) -> str:
    """A usage: options are bold, the names of values are in italics."""
    words = re.compile(r"(--?[a-zA-Z][\w-]*)|([A-Za-z0-9][\w@.]*)")
    done, at = [], 0
    for found in words.finditer(text):
        done += [text[at : found.start()].translate(_PROSE), (bold if found[1] else italic)(found[0])]
        at = found.end()
    return "".join(done) + text[at:].translate(_PROSE)


def prose(text: str, replaced: Iterable[str] = ()) -> str:
    """A text in a sentence: options are bold, and words in ``replaced``, the names of values, are in italics."""
    words = sorted(replaced, key=len, reverse=True)
    names = "".join(rf"|(?<![\w<-])({'|'.join(map(re.escape, words))})(?![\w>-])") if words else ""
    parts = re.compile(rf"{_OPTION.pattern}|{_PAGE.pattern}{names}")
    done, at = [], 0
    for found in parts.finditer(text):
        done.append(text[at : found.start()].translate(_PROSE))
        if found[1]:
            done.append(bold(found[1]))
        elif found[2]:
            done.append(f"{bold(found[2])}({found[3]})")
        else:
            done.append(italic(found[0]))
        at = found.end()
    return "".join(done) + text[at:].translate(_PROSE)


def lines(text: str) -> Iterator[str]:
    """A formatted paragraph as lines of input; a sentence begins a line. No line is taken for a request."""
    for sentence in _SENTENCE.split(" ".join(text.split())):
        *begun, last = wrap(sentence, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
        for line in (*(f"{each}\\&" if each.endswith((".", "!", "?")) else each for each in begun), last):
            yield f"\\&{line}" if line.startswith((".", "'")) else line


def paragraph(text: str) -> Iterator[str]:
    """A paragraph of formatted text."""
    yield ".PP"
    yield from lines(text)


def tagged(tag: str, text: str) -> Iterator[str]:
    """A formatted tag, and what it means below it."""
    yield ".TP"
    yield tag
    yield from lines(text)


def example(texts: Iterable[str]) -> Iterator[str]:
    """Lines that keep their breaks and blanks."""
    yield from (".PP", ".RS 4", ".nf")
    for text in texts:
        line = code(text.rstrip())
        yield f"\\&{line}" if line.startswith((".", "\\(aq")) or not line else line
    yield from (".fi", ".RE")


def section(title: str) -> str:
    """The heading of a section."""
    return f".SH {title.upper()}"


def subsection(title: str) -> str:
    """The heading below a section."""
    return f".SS {title.translate(_PROSE)}"


def page(name: str, number: int, date: str, version: str, body: Iterable[str]) -> str:
    """A page. Words are not hyphenated, because paths and commands are copied from it.

    A paragraph at the beginning of a section needs no macro, and mandoc warns of it.
    """
    found = [_head(name, number, date, version), ".nh", ".ad l"]
    for line in body:
        if not (line == ".PP" and found[-1].startswith((".SH", ".SS"))):
            found.append(line)
    return "\n".join(found) + "\n"


def _head(name: str, number: int, date: str, version: str) -> str:
    return f'.TH {code(name.upper())} {number} "{date}" "cachetune {version}" "cachetune"'
