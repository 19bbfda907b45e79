"""A page of prose from Markdown: headings, paragraphs, lists, tables, and blocks of code.

Markdown is what the site of the manual has as well. A table becomes a list: the first cell, with the second if there
are three, is the tag, and the last cell says what it means.
"""

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from cachetune.cli.manual import roff


def prose_body(markdown: str) -> Iterator[str]:
    """The sections of a page; what precedes the first heading below the title is its description."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    yield roff.section("Description")
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag in ("h2", "h3"):
            title = _plain(tokens[at + 1])
            yield roff.section(title) if token.tag == "h2" else roff.subsection(title)
        elif token.type == "fence":
            yield from roff.example(token.content.splitlines())
        elif token.type == "paragraph_open":
            yield from _paragraph(tokens[at + 1], in_list=tokens[at - 1].type == "list_item_open")
        elif token.type == "tr_open" and any(each.type == "td_open" for each in tokens[at : at + 2]):
            yield from _row(tokens[at:])


def _paragraph(content: Token, *, in_list: bool) -> Iterator[str]:
    if in_list:
        yield ".IP \\(bu 2"  # codespell:ignore bu
        yield from roff.lines(_inline(content))
    else:
        yield from roff.paragraph(_inline(content))


def _row(tokens: Sequence[Token]) -> Iterator[str]:
    end = next(at for at, token in enumerate(tokens) if token.type == "tr_close")
    *tag, text = [_inline(token) for token in tokens[:end] if token.type == "inline"]
    yield from roff.tagged("  ".join(tag), text)


def _inline(token: Token) -> str:
    """Formatted text: code is bold, emphasis is in italics; a link is its text."""
    parts, emphasized = [], False
    for child in token.children or ():
        match child.type:
            case "code_inline":
                parts.append(roff.bold(child.content))
            case "em_open" | "em_close":
                emphasized = not emphasized
            case "softbreak":
                parts.append(" ")
            case "text":
                parts.append(roff.italic(child.content) if emphasized else roff.prose(child.content))
    return "".join(parts)


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or ())
