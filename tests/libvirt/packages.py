"""A libvirt and a QEMU that are not installed: fetched with apt from Debian's backports, unpacked, and kept.

apt's own sources and lists are left alone; it reads others, of this file's.
"""

import os
import subprocess
import tempfile
from pathlib import Path

SUITE = "bookworm-backports"
SOURCES = f"""\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm {SUITE}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
# Their libraries are those of Debian 12.
PACKAGES = (
    *("libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-daemon-common", "libvirt-daemon-log"),
    *("libvirt-clients", "libvirt-common", "libvirt0"),
    *("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"),
)


def cache_directory() -> Path:
    """Where they are kept: cachetune/libvirt under XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cachetune" / "libvirt"


def backports() -> Path:
    """The directory with the packages unpacked, made when missing. Raises CalledProcessError when apt cannot."""
    place = cache_directory() / SUITE
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as directory:
            _unpack(Path(directory)).rename(place)
    return place


def _unpack(work: Path) -> Path:
    for name in ("parts", "lists/partial", "cache/archives/partial", "debs", "root"):
        (work / name).mkdir(parents=True)
    (work / "parts/debian.sources").write_text(SOURCES)
    where = {"Etc::SourceList": "none", "Etc::SourceParts": "parts", "State::Lists": "lists", "Cache": "cache"}
    apt = [
        "apt-get",
        "-qq",
        "-oAPT::Sandbox::User=root",
        *(f"-oDir::{name}={work / place}" for name, place in where.items()),
    ]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "-t", SUITE, "download", *PACKAGES], check=True, cwd=work / "debs")
    for package in (work / "debs").iterdir():
        subprocess.run(["/usr/bin/dpkg-deb", "-x", package, work / "root"], check=True)
    return work / "root"
