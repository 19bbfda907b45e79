"""From a Debian kernel package to what QEMU boots: the unpacked ELF kernel and an initramfs with its modules.

The package is fetched with apt and never installed. QEMU boots the ELF kernel through its PVH entry point, so
no decompressor runs in the guest (slow without KVM) and the kernel is not moved: its symbols keep their
addresses.
"""

import contextlib
import fcntl
import io
import lzma
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

GUEST_INIT = Path(__file__).with_name("guest-init.sh")
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
DEFAULT_KERNEL = "default"


class VmError(Exception):
    """The virtual machine cannot be prepared or started, or ended without a result."""


def cache_directory() -> Path:
    """Where unpacked kernels are kept: cachetune/kernelvm under XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cachetune" / "kernelvm"


@contextlib.contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """One process at a time prepares kernels."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unpacked_kernel(cache: Path, kernel: str) -> Path:
    """The directory with the kernel package unpacked, made when missing.

    ``kernel`` is a package's name, a .deb file, or "default": what linux-image-amd64 names when first asked.
    """
    if kernel.endswith(".deb"):
        return _unpack(cache, Path(kernel))
    root = cache / kernel
    if root.is_dir():
        return root.resolve()
    if kernel == DEFAULT_KERNEL:
        target = _default_kernel(cache)
        root.symlink_to(target.name)
        return target
    deb = _download(cache, kernel)
    try:
        return _unpack(cache, deb)
    finally:
        deb.unlink()


def newest_package(version: str) -> str | None:
    """The newest kernel package of a version such as "6.12" that apt knows, if any."""
    if not shutil.which("apt-cache"):
        return None
    names = _run(["apt-cache", "pkgnames", f"linux-image-{version}."]).stdout.decode().split()
    signed = [name for name in names if re.fullmatch(r"linux-image-[0-9.]+[^-]*(-[0-9]+)?-amd64", name)]
    return max(signed, key=lambda name: [int(number) for number in re.findall("[0-9]+", name)], default=None)


def elf_kernel(root: Path) -> Path:
    """The ELF kernel that is packed inside the bzImage, unpacked beside it."""
    release = _release(root)
    elf = root / f"vmlinux-{release}"
    if not elf.exists():
        _write_whole(elf, _payload((root / "boot" / f"vmlinuz-{release}").read_bytes()))
    return elf


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


def initramfs(root: Path, job: Mapping[str, str]) -> bytes:
    """The guest's first file system: busybox, modules, guest-init.sh, and the files of one job in /job."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise VmError("busybox is missing (Debian package busybox-static)")
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "mod", "job", "host", "ram", "new"):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(busybox).read_bytes(), executable=True)
    archive.file("init", GUEST_INIT.read_bytes(), executable=True)
    for number, (name, data) in enumerate(_modules(root)):
        archive.file(f"mod/{number:02d}-{name}.ko", data)
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


def _default_kernel(cache: Path) -> Path:
    try:
        return unpacked_kernel(cache, _default_package())
    except VmError:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-q", "update"])  # an old index names packages that have been replaced since
        return unpacked_kernel(cache, _default_package())


def _default_package() -> str:
    found = _depends_of("linux-image-amd64")
    if not found:
        raise VmError("apt knows no linux-image-amd64; run apt-get update")
    return found


def _depends_of(meta: str) -> str | None:
    if not shutil.which("apt-cache"):
        raise VmError("there is no apt to fetch a kernel package with; name a .deb file")
    shown = _run(["apt-cache", "depends", "--important", meta]).stdout.decode()
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    return found.group(1) if found else None


def _download(cache: Path, package: str) -> Path:
    done = _run(["apt-get", "download", "-q", package], cwd=cache)
    debs = sorted(cache.glob(f"{package}_*.deb"))
    if not debs:
        raise VmError(f"cannot fetch {package}: {done.stderr.decode(errors='replace').strip()}")
    return debs[-1]


def _unpack(cache: Path, deb: Path) -> Path:
    root = cache / deb.name.partition("_")[0]
    if not root.is_dir():
        part = root.with_name(f"{root.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        done = _run(["dpkg-deb", "-x", str(deb), str(part)])
        if done.returncode:
            raise VmError(f"cannot unpack {deb}: {done.stderr.decode(errors='replace').strip()}")
        part.rename(root)
    return root


def _release(root: Path) -> str:
    for path in sorted((root / "boot").glob("vmlinuz-*")):
        return path.name.removeprefix("vmlinuz-")
    raise VmError(f"no kernel in {root}")


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
        elf = _run(["zstd", "-dcq"], data=packed[:-4]).stdout  # the last 4 bytes are the unpacked size
    else:
        raise VmError(f"the kernel is packed in an unknown way ({packed[:4].hex()})")
    if not elf.startswith(b"\x7fELF"):
        raise VmError("what the bzImage holds is no ELF file")
    return elf


def _modules(root: Path) -> list[tuple[str, bytes]]:
    """MODULES and all that they need, in the order in which to load them.

    A package that was only unpacked has no modules.dep, so each module's own "depends=" is read. A name
    without a file is built into the kernel.
    """
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in root.glob("lib/modules/**/*.ko*")}
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

    for name in MODULES:
        visit(name.replace("-", "_"), frozenset())
    return list(loaded.items())


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.rename(path)


def _run(command: list[str], *, data: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data, capture_output=True, cwd=cwd, check=False)
