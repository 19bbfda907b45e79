"""The last line of an installed file: whether the file is as it was written, and which directories were made for it.

``# cachetune-install sha256:HEX directories:N`` has the checksum of everything above it, and N is the number of
directories, the innermost ones, that were made to hold the file.
"""

import hashlib
import re

import msgspec

_LINE = re.compile(rb"^# cachetune-install sha256:([0-9a-f]{16})(?: directories:([0-9]{1,2}))?\n?", re.MULTILINE)


class Signed(msgspec.Struct, frozen=True):
    """An installed file: the text above the signature, whether it was ``edited``, and the number of ``directories``."""

    body: bytes
    edited: bool
    directories: int


def sign(body: bytes, directories: int = 0) -> bytes:
    """The body with its signature."""
    made = f" directories:{directories}" if directories else ""
    return body + f"# cachetune-install sha256:{_checksum(body)}{made}\n".encode()


def read_signature(data: bytes) -> Signed | None:
    """The signature of a file, None without one. Text below the signature is an edit."""
    found = list(_LINE.finditer(data))
    if not found:
        return None
    line = found[-1]
    body = data[: line.start()]
    edited = len(found) > 1 or line.end() != len(data) or _checksum(body) != line[1].decode()
    return Signed(body, edited, int(line[2] or 0))


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
