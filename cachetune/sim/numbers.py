"""Numbers and CPU sets, parsed and formatted as in the kernel.

The kernel's parsers are stricter than Python's in some ways (no blanks, at most one final newline) and more lenient in
others (a leading ``+``, any C base for tids, ``N`` for the last CPU); the simulation depends on these details. Text has
one character per byte. Source: lib/kstrtox.c and lib/bitmap-str.c, and the answers recorded from 6.1 and 6.12.
"""

import errno
import re
from collections.abc import Iterable

BLANKS = " \t\n\v\f\r\xa0"
_DIGITS = "0123456789abcdef"
_BETWEEN_CPUS = BLANKS + ","
# all, N (the last CPU), or a range; 0-9:1/3 is the first of every three CPUs in a range
_REGION = re.compile(
    r"(?:([aA][lL]{2})|(N|[0-9]+)(?:-(N|[0-9]+))?)(?::(N|[0-9]+)/(N|[0-9]+)|(?=[ \t\n\v\f\r\xa0,]|\Z))"
)


class NumberError(Exception):
    """Not a number or CPU set for the kernel. ``errno`` is EINVAL, ERANGE or EOVERFLOW."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


def c_string(text: str) -> str:
    """Return the text up to the first NUL, as C does."""
    return text.partition("\0")[0]


def strip(text: str) -> str:
    """Strip what the kernel considers blank."""
    return text.strip(BLANKS)


def unsigned(text: str, base: int, bits: int) -> int:
    """Parse an unsigned number of ``bits`` bits. Base 0 is C notation. Raises NumberError."""
    return _magnitude(text.removeprefix("+"), base, (1 << bits) - 1)


def signed(text: str, base: int, bits: int) -> int:
    """Parse a signed number of ``bits`` bits. Base 0 is C notation. Raises NumberError."""
    if text.startswith("-"):
        return -_magnitude(text[1:], base, 1 << (bits - 1))
    return _magnitude(text.removeprefix("+"), base, (1 << (bits - 1)) - 1)


def boolean(text: str) -> bool:
    """Parse a yes or no as the kernel does: by the first letter (of "yes", "true", "enabled"...), or two of "on".

    Raises NumberError.
    """
    first, second = text[:1].lower(), text[1:2].lower()
    if first in {"y", "t", "e", "1"} or (first, second) == ("o", "n"):
        return True
    if first in {"n", "f", "d", "0"} or (first, second) == ("o", "f"):
        return False
    raise NumberError(errno.EINVAL)


def _magnitude(text: str, base: int, most: int) -> int:
    if base == 0:
        base = _c_base(text)
    if base == 16 and text[:2].lower() == "0x":
        text = text[2:]
    digits = _DIGITS[:base]
    length = next((i for i, c in enumerate(text) if c.lower() not in digits), len(text))
    if not length or text[length:] not in {"", "\n"}:
        raise NumberError(errno.EINVAL)
    value = int(text[:length], base)
    if value > most:
        raise NumberError(errno.ERANGE)
    return value


def _c_base(text: str) -> int:
    if re.match(r"0[xX][0-9a-fA-F]", text):
        return 16
    return 8 if text.startswith("0") else 10


def parse_cpu_list(text: str, count: int) -> frozenset[int]:
    """Parse a list such as ``0-2,4`` of CPUs below ``count``. A newline directly after a range ends it.

    Raises NumberError.
    """
    cpus: set[int] = set()
    rest = c_string(text).lstrip(_BETWEEN_CPUS)
    while rest:
        match = _REGION.match(rest)
        if match is None:
            raise NumberError(errno.EINVAL)
        cpus |= _region(match, count)
        rest = rest[match.end() :]
        if rest.startswith("\n") and match[4] is None:
            break
        rest = rest.lstrip(_BETWEEN_CPUS)
    return frozenset(cpus)


def _region(match: re.Match[str], count: int) -> set[int]:
    everything, first, last, in_use, every = match.groups()
    if everything:
        start, end = 0, count - 1
    else:
        start = _cpu_number(first, count)
        end = start if last is None else _cpu_number(last, count)
    used = group = end + 1
    if in_use is not None:
        if not everything and last is None:
            raise NumberError(errno.EINVAL)
        used, group = _cpu_number(in_use, count), _cpu_number(every, count)
    if start > end or group == 0 or used > group:
        raise NumberError(errno.EINVAL)
    if end >= count:
        raise NumberError(errno.ERANGE)
    return {cpu for cpu in range(start, end + 1) if (cpu - start) % group < used}


def _cpu_number(text: str, count: int) -> int:
    if text == "N":
        return count - 1
    value = int(text)
    if value >= 1 << 32:
        raise NumberError(errno.EOVERFLOW)
    return value


def parse_cpu_mask(text: str, count: int) -> frozenset[int]:
    """Parse a mask such as ``3`` or ``1,00000000`` of CPUs below ``count``. Raises NumberError."""
    line = c_string(text).partition("\n")[0]
    value = 0
    words = [word for word in re.split(r"[ \t\v\f\r\xa0,]+", line) if word]
    for chunk, word in enumerate(reversed(words)):
        if chunk * 32 >= count:
            raise NumberError(errno.EOVERFLOW)
        if not re.fullmatch(r"[0-9a-fA-F]+", word[-8:]):
            raise NumberError(errno.EINVAL)
        if len(word) > 8:
            raise NumberError(errno.EOVERFLOW if re.match(r"[0-9a-fA-F]", word[-9]) else errno.EINVAL)
        value |= int(word, 16) << (32 * chunk)
    if value >> count:
        raise NumberError(errno.EOVERFLOW)
    return frozenset(cpu for cpu in range(count) if value >> cpu & 1)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """Format CPUs as the kernel does: ``0-2,4``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1][1:] = [cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def format_cpu_mask(cpus: Iterable[int], count: int) -> str:
    """Format CPUs as the kernel does: ``count`` bits in hexadecimal, with a comma after every 32."""
    value = sum(1 << cpu for cpu in cpus)
    words: list[str] = []
    for low in range(0, count, 32):
        width = (min(32, count - low) + 3) // 4
        words.append(f"{value >> low & 0xFFFFFFFF:0{width}x}")
    return ",".join(reversed(words))
