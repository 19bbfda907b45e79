"""The files that a host needs beside the program: systemd's units, libvirt's hook, and files in /etc.

In: the parts to install, where the program is, and the root of the file system to write to. Out: an ``Installation``,
which says what is done with each file. The templates are in ``files``, and nowhere else.

Each file ends with a line that has the checksum of what is above it (``signature``), which distinguishes an edited file
from one that an earlier version wrote. There is no other record of what was installed. Nothing here talks to systemd or
libvirt: what to run next is a list of commands.
"""

from cachetune.install.carry_out import Place, install, uninstall
from cachetune.install.model import FileChange, Installation
from cachetune.install.parts import PARTS, Part
from cachetune.install.program import Program, find_program

__all__ = ["PARTS", "FileChange", "Installation", "Part", "Place", "Program", "find_program", "install", "uninstall"]
