"""From a Debian kernel's files to what QEMU boots: the unpacked ELF kernel and an initramfs with its modules.

QEMU boots the ELF kernel through its PVH entry point, so no decompressor runs in the guest (slow without KVM) and the
kernel is not moved: its symbols keep their addresses.
"""

import io
import lzma
import re
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.kernel.vm.packages import VmError, run_command

GUEST_INIT, GUEST_JOB = (Path(__file__).with_name(f"guest-{name}.sh") for name in ("init", "job"))
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
EXTRA_MODULES = ("vhost_vsock",)  # loaded on request
# Debian 12 has no link from lib to usr/lib in its packages, later ones have no lib.
MODULE_TREES: Final = ("lib/modules", "usr/lib/modules")


def make(unpacked: Path, directory: Path) -> None:
    """Put what boots into an empty directory: ``vmlinux``, ``modules`` and ``extra`` ones. Raises VmError if the
    packages lack some of it.

    ``unpacked`` has the files of one or more packages.
    """
    bzimage, release = _bzimage(unpacked)
    (directory / "vmlinux").write_bytes(_payload(bzimage.read_bytes()))
    modules = _modules(unpacked, release)
    for kind, names in (("modules", MODULES), ("extra", EXTRA_MODULES)):
        (directory / kind).mkdir()
        for number, (name, data) in enumerate(modules(names).items()):
            (directory / kind / f"{number:02d}-{name}.ko").write_bytes(data)


def elf_kernel(root: Path) -> Path:
    """The ELF kernel in a directory that ``make`` made."""
    return root / "vmlinux"


def find_code(elf: Path, address: int, code: bytes) -> int:
    """The address of the first ``code`` in the function that starts at the virtual ``address``."""
    with elf.open("rb") as file:
        header = file.read(64)
        (table,) = struct.unpack_from("<Q", header, 0x20)
        entry_size, entries = struct.unpack_from("<HH", header, 0x36)
        for number in range(entries):
            file.seek(table + number * entry_size)
            kind, _, offset, start, _, size, _, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 1 and start <= address < start + size:
                file.seek(offset + address - start)
                at = file.read(64).find(code)
                if at >= 0:
                    return address + at
    raise VmError(f"no instruction {code.hex()} near {address:#x} in {elf}")


def initramfs(root: Path, job: Mapping[str, str], *, extra: bool = False) -> bytes:
    """The guest's first file system: busybox, modules, guest-init.sh, guest-job.sh, and the first job's files in /job.

    ``extra`` is whether it also has EXTRA_MODULES.
    """
    busybox = shutil.which("busybox")
    if not busybox:
        raise VmError("busybox is missing (Debian package busybox-static)")
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "mod", "job", "host", "ram", "new"):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(busybox).read_bytes(), executable=True)
    archive.file("init", GUEST_INIT.read_bytes(), executable=True)
    archive.file("run-job", GUEST_JOB.read_bytes(), executable=True)
    for kind in ("modules", "extra") if extra else ("modules",):  # loaded in the order of their names
        for module in sorted((root / kind).iterdir()):
            archive.file(f"mod/{'x' * (kind == 'extra')}{module.name}", module.read_bytes())
    for name, text in job.items():
        archive.file(f"job/{name}", text.encode())
    return archive.finish()


class Cpio:
    """A writer of the "newc" archives that the kernel unpacks as initramfs."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._inode = 0

    def directory(self, name: str) -> None:
        """Add an empty directory."""
        self._entry(name, 0o40755)

    def device(self, name: str, major: int, minor: int) -> None:
        """Add a character device."""
        self._entry(name, 0o20600, device=(major, minor))

    def file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Add a file."""
        self._entry(name, 0o100755 if executable else 0o100644, data)

    def finish(self) -> bytes:
        """The whole archive."""
        self._entry("TRAILER!!!", 0)
        self._pad(512)
        return self._out.getvalue()

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        raw = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        self._out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + raw)
        self._pad(4)
        self._out.write(data)
        self._pad(4)

    def _pad(self, boundary: int) -> None:
        self._out.write(b"\0" * (-self._out.tell() % boundary))


def _bzimage(unpacked: Path) -> tuple[Path, str]:
    """The kernel's file, and its release."""
    for path in sorted(unpacked.glob("boot/vmlinuz-*")):
        return path, path.name.removeprefix("vmlinuz-")
    for path in sorted(unpacked.glob("usr/lib/modules/*/vmlinuz")):
        return path, path.parent.name
    raise VmError("the packages have no kernel (it may be in linux-binary-RELEASE)")


def _payload(image: bytes) -> bytes:
    """The ELF file in a bzImage; offsets as in the kernel's x86 boot protocol."""
    if image[0x202:0x206] != b"HdrS":
        raise VmError("the kernel is no bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    packed = image[start : start + length]
    if packed.startswith(b"\xfd7zXZ\0"):
        elf = lzma.LZMADecompressor().decompress(packed)
    elif packed.startswith(b"\x28\xb5\x2f\xfd"):
        if not shutil.which("zstd"):
            raise VmError("zstd is missing (Debian package zstd)")
        elf = run_command(["zstd", "-dcq"], data=packed[:-4]).stdout  # the last 4 bytes are the unpacked size
    else:
        raise VmError(f"the kernel is packed in an unknown way ({packed[:4].hex()})")
    if not elf.startswith(b"\x7fELF"):
        raise VmError("what the bzImage holds is no ELF file")
    return elf


def _modules(unpacked: Path, release: str) -> Callable[[Iterable[str]], dict[str, bytes]]:
    """A function: these modules and all that they need that it has not given yet, in the order in which to load them.

    A package that was only unpacked has no modules.dep, so each module's own "depends=" is read. A name
    without a file is built into the kernel, but for 9p, which Debian builds as a module or not at all (in "cloud").
    """
    trees = [unpacked / tree / release for tree in MODULE_TREES]
    files = {path.name.partition(".")[0].replace("-", "_"): path for tree in trees for path in tree.glob("**/*.ko*")}
    if "9p" not in files:
        raise VmError(f"the packages have no module 9p of {release} (its modules may be in linux-modules-RELEASE)")
    loaded: dict[str, bytes] = {}

    def visit(name: str, seen: frozenset[str]) -> None:
        if name in loaded or name in seen or name not in files:
            return
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        found = re.search(rb"\0depends=([^\0]*)\0", data)
        for needed in found.group(1).decode().split(",") if found else ():
            visit(needed.replace("-", "_"), seen | {name})
        loaded[name] = data

    def needed_by(names: Iterable[str]) -> dict[str, bytes]:
        before = set(loaded)
        for name in names:
            visit(name, frozenset())
        return {name: data for name, data in loaded.items() if name not in before}

    return needed_by
