"""The processor, the kernel and the mounts."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from cachetune.doctor.collect.reading import is_there, read_bytes, read_text
from cachetune.doctor.examination import Kernel, KernelConfig, Mount, Processor, Unknown

_LARGEST_CONFIG = 4 << 20
_GZIP = 31  # zlib's window bits for a gzip header
_SET = re.compile(r"^(CONFIG_[A-Z0-9_]+)=[ym]$", re.MULTILINE | re.ASCII)


def mounts_of(proc: Path) -> tuple[Mount, ...] | Unknown:
    """Where resctrl is mounted."""
    text = read_text(proc / "mounts")
    if isinstance(text, Unknown):
        return text
    fields = (line.split(" ") for line in text.splitlines())
    return tuple(Mount(_unescaped(f[1]), tuple(f[3].split(","))) for f in fields if len(f) > 3 and f[2] == "resctrl")


def processor_of(proc: Path, sysfs: Path) -> Processor | Unknown:
    """The first processor of /proc/cpuinfo; all of a machine have the same flags."""
    text = read_text(proc / "cpuinfo")
    if isinstance(text, Unknown):
        return text
    pairs = [line.partition(":") for line in text.splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    flags = frozenset(fields.get("flags", fields.get("Features", "")).split())
    return Processor(fields.get("model name", ""), flags, is_there(sysfs / "firmware/acpi/tables/MPAM"))


def kernel_of(proc: Path, root: Path) -> Kernel | Unknown:
    """The running kernel."""
    release = read_text(proc / "sys/kernel/osrelease")
    if isinstance(release, Unknown):
        return release
    command_line = read_text(proc / "cmdline")
    systems = read_text(proc / "filesystems")
    return Kernel(
        release=release.strip(),
        command_line=command_line if isinstance(command_line, Unknown) else command_line.strip("\0\n "),
        config=_config(release.strip(), proc, root),
        has_resctrl=systems if isinstance(systems, Unknown) else "resctrl" in systems.split(),
    )


def _config(release: str, proc: Path, root: Path) -> KernelConfig | Unknown:
    for path in _config_files(release, proc, root):
        data = read_bytes(path, _LARGEST_CONFIG)
        if not isinstance(data, Unknown) and (text := _text_of(data)):
            return KernelConfig(str(path), frozenset(_SET.findall(text)))
    return Unknown(f"neither /proc/config.gz nor /boot/config-{release} is readable")


def _config_files(release: str, proc: Path, root: Path) -> Iterator[Path]:
    yield proc / "config.gz"
    if "/" not in release:
        yield root / f"boot/config-{release}"
        yield root / f"usr/lib/modules/{release}/config"
        yield root / f"lib/modules/{release}/config"


def _text_of(data: bytes) -> str:
    """The text of a configuration, compressed or not; "" if it is neither."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompressobj(_GZIP).decompress(data, _LARGEST_CONFIG)
        except zlib.error:
            return ""
    return data.decode("ascii", "replace")


def _unescaped(text: str) -> str:
    """A path from the table of mounts, where blanks are octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
