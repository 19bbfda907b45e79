"""Runs of ``validate`` in this process, and domain XML for them."""

import os
from pathlib import Path

from click.testing import CliRunner, Result

from cachetune.cli.main import command

GOOD = """<domain type='kvm'>
  <name>web</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0'>
      <cache id='0' level='3' type='both' size='3' unit='MiB'/>
    </cachetune>
  </cputune>
</domain>
"""
BAD = GOOD.replace("level", "levl")
WARNED = GOOD.replace("vcpus='0'", "vcpus='0-9'")
OTHER = "<network><name>default</name></network>"

HOSTILE_NAMES = (
    b"100%.xml",
    b"a:b,c.xml",
    "\N{GREEK SMALL LETTER ALPHA}.xml".encode(),
    b"latin-\xe9.xml",
    b"line\n::error::forged.xml",
    b"quote\"'&<>].xml",
    b"space and #?.xml",
    b"\x01\x1b[31m\x7f.xml",
)


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    """``cachetune validate`` with these arguments."""
    return CliRunner().invoke(command, ["validate", *map(str, arguments)], input=stdin)


def write_hostile(directory: Path) -> list[str]:
    """A file with an error under each of the hostile names; returns their paths in the order of their names."""
    directory.mkdir()
    for name in HOSTILE_NAMES:
        Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).write_text(BAD)
    return [str(path) for path in sorted(directory.iterdir(), key=lambda path: path.name)]
