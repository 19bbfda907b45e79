"""Debian's kernel packages, of any suite: found and fetched with apt, never installed.

apt works on a separate directory for each suite: its sources, its index, its cache. Nothing of this machine's apt
is changed, but its settings hold (a proxy, for example), and so does its mirror: only the suite is another. The index
is signed by Debian, and apt checks each package against it.

A kernel is one package, or (since 6.19) several: linux-image-RELEASE then only depends on linux-binary-RELEASE and
linux-modules-RELEASE. A mirror keeps few of the latter, so nothing here names a release.
"""

import dataclasses
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

NEWEST: Final = "newest"
BACKPORTS: Final = "trixie-backports"
SUITE_OF: Final = {"6.1": "bookworm", "6.12": "trixie"}  # of any other kernel it is BACKPORTS
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


class VmError(Exception):
    """The virtual machine cannot be prepared or started, or ended without a result."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite of Debian's archive; apt's files for it are below ``directory``."""

    name: str
    directory: Path

    def update(self) -> None:
        """Fetch the index unless it is current. Raises VmError if it is not available."""
        for part in ("lists/partial", "archives/partial"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        options = f"lang=none target=Packages pdiffs=no signed-by={KEYRING}"
        (self.directory / "sources.list").write_text(f"deb [{options}] {mirror()} {self.name} main\n")
        done = self._apt("apt-get", "update", "-q", "--error-on=any")
        if done.returncode:
            raise VmError(f"cannot fetch the index of {self.name}: {_reason(done)}")

    def kernel(self, version: str) -> str:
        """The newest image package of a version such as "6.12". Raises VmError if the suite has none."""
        if version == NEWEST:
            found = [name for name in self._depends("linux-image-amd64") if name.startswith("linux-image-")][:1]
        else:
            names = self._apt("apt-cache", "pkgnames", f"linux-image-{version}").stdout.decode().split()
            # Neither "cloud" (which lacks 9p), "rt" and "unsigned", nor debugging symbols.
            pattern = rf"linux-image-{re.escape(version)}(\.\d+)*(-\d+)?(\+\w+)?-amd64"
            found = sorted((name for name in names if re.fullmatch(pattern, name)), key=_numbers)[-1:]
        if not found:
            raise VmError(f"{self.name} has no kernel {version}")
        return found[0]

    def packages(self, image: str) -> list[str]:
        """The image package, and those in which it may keep its kernel and its modules."""
        found = [image]
        for name in found:
            found += [each for each in self._depends(name) if each not in found]
        return found

    def download(self, names: list[str], directory: Path) -> list[Path]:
        """Fetch packages into an empty directory. Raises VmError unless all of them are there."""
        done = self._apt("apt-get", "download", "-q", *names, cwd=directory)
        debs = [deb for name in names for deb in directory.glob(f"{name}_*.deb")]
        if done.returncode or len(debs) != len(names):
            raise VmError(f"cannot fetch {' and '.join(names)} of {self.name}: {_reason(done)}")
        return debs

    def label(self, name: str) -> str:
        """The name of a package with its version."""
        shown = self._apt("apt-cache", "show", "--no-all-versions", name).stdout.decode()
        version = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
        if not version:
            raise VmError(f"{self.name} has no {name}")
        return f"{name}_{version.group(1)}"

    def _depends(self, name: str) -> list[str]:
        shown = self._apt("apt-cache", "depends", "--important", name).stdout.decode()
        return re.findall(r"Depends: (linux-(?:image|binary|modules)-\S+)", shown)

    def _apt(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        if not shutil.which(command[0]):
            raise VmError(f"there is no {command[0]} to fetch a kernel with; name .deb files with --deb")
        settings = {
            "Dir::Etc::SourceList": self.directory / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": self.directory,
            "Dir::State::status": self.directory / "status",
            "Dir::Cache": self.directory,
            "APT::Sandbox::User": "root",  # its own user may not look into a home directory
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run_command([command[0], *options, *command[1:]], cwd=cwd)


def mirror() -> str:
    """The mirror from which this machine has its own packages. Raises VmError if it is not Debian."""
    if platform.freedesktop_os_release().get("ID") != "debian" or not shutil.which("apt-get"):
        raise VmError("kernels are fetched on Debian only; name .deb files with --deb")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    command = ["apt-get", "indextargets", "--no-release-info", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"]
    for line in run_command([*command, "Identifier: Packages"]).stdout.decode().splitlines():
        release, component, uri = line.split(maxsplit=2)
        if component == "main" and release in (codename, "stable", "oldstable", "oldoldstable"):
            return uri
    raise VmError(f"apt's sources have no suite {codename or 'stable'} to take the mirror from")


def run_command(
    command: list[str], *, data: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program and keep what it prints, whatever its exit status."""
    return subprocess.run(command, input=data, capture_output=True, cwd=cwd, check=False)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """apt's first error; the later ones only sum up."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("E: ")]
    return (errors or lines or ["apt said nothing"])[0].removeprefix("E: ")
