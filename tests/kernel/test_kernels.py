"""How kernels are fetched and kept, without booting one: nothing broken or partial stays in the cache."""

import hashlib
import lzma
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.vm import VmError, kernels, packages
from tests.kernel.vm.kernels import kernel_directory
from tests.kernel.vm.packages import Suite

RELEASE = "7.9.1+deb13-amd64"
ELF = b"\x7fELF of the kernel"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    directory = tmp_path / "cache"
    directory.mkdir()
    return directory


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Build a package with these files."""

    def build(name: str, files: dict[str, bytes], version: str = "7.9.1-1") -> Path:
        tree = tmp_path / f"{name} {version}"
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@b.c>\nDescription: a\n"
        for path, data in {"DEBIAN/control": control.encode(), **files}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        subprocess.run(["/usr/bin/dpkg-deb", "--build", tree, tmp_path], check=True, capture_output=True)
        return tmp_path / f"{name}_{version}_amd64.deb"

    return build


def bzimage() -> bytes:
    """As small as one can be: the header of the boot protocol, and a packed payload."""
    packed = lzma.compress(ELF)
    header = bytearray(1024)
    header[0x1F1] = 1
    header[0x202:0x206] = b"HdrS"
    header[0x248:0x250] = (0).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
    return bytes(header) + packed


MODULE = b"\0license=GPL\0depends=9pnet\0"
MODULES = {"kernel/fs/9p/9p.ko": MODULE, "kernel/net/9p/9pnet.ko": b"\0depends=\0"}


def at(tree: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{tree}/{RELEASE}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize(
    "contents",
    [
        {"linux-image": {f"boot/vmlinuz-{RELEASE}": bzimage(), **at("lib/modules", MODULES)}},
        {"linux-image": {f"boot/vmlinuz-{RELEASE}": bzimage(), **at("usr/lib/modules", MODULES)}},
        {
            "linux-binary": {f"boot/vmlinuz-{RELEASE}": bzimage()},
            "linux-modules": at("usr/lib/modules", MODULES),
        },
        {
            "linux-image": {},
            "linux-binary": at("usr/lib/modules", {"vmlinuz": bzimage()}),
            "linux-modules": at("usr/lib/modules", MODULES),
        },
    ],
    ids=["Debian 12", "Debian 13", "6.19", "7.3"],
)
def test_every_layout_of_debians_packages_is_made_ready(
    contents: dict[str, dict[str, bytes]], cache: Path, build: Callable[..., Path]
) -> None:
    debs = tuple(build(f"{name}-{RELEASE}", files) for name, files in contents.items())
    root = kernel_directory(cache, debs)
    assert (root / "vmlinux").read_bytes() == ELF
    assert [path.name for path in sorted((root / "modules").iterdir())] == ["00-9pnet.ko", "01-9p.ko"]
    assert list(cache.iterdir()) == [root]


def test_a_later_version_of_a_package_is_not_taken_for_the_earlier_one(cache: Path, build: Callable[..., Path]) -> None:
    files = {f"boot/vmlinuz-{RELEASE}": bzimage(), **at("lib/modules", MODULES)}
    first, second = (kernel_directory(cache, (build("linux-image", files, version),)) for version in ("1-1", "1-2"))
    assert first != second


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({f"boot/vmlinuz-{RELEASE}": bzimage()}, "no module 9p"),
        (at("usr/lib/modules", MODULES), "no kernel"),
        ({f"boot/vmlinuz-{RELEASE}": b"no kernel" * 100, **at("lib/modules", MODULES)}, "no bzImage"),
    ],
)
def test_packages_that_lack_something_are_refused_and_leave_nothing(
    files: dict[str, bytes], says: str, cache: Path, build: Callable[..., Path]
) -> None:
    with pytest.raises(VmError, match=says):
        kernel_directory(cache, (build("linux-image", files),))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_partial_download_is_refused_leaves_nothing_and_a_whole_one_works_after_it(
    size: int, cache: Path, build: Callable[..., Path]
) -> None:
    deb = build("linux-image", {f"boot/vmlinuz-{RELEASE}": bzimage(), **at("lib/modules", MODULES)})
    whole = deb.read_bytes()
    deb.write_bytes(whole[: size if size >= 0 else len(whole) // 2])
    with pytest.raises(VmError, match=r"no Debian package|cannot unpack"):
        kernel_directory(cache, (deb,))
    assert list(cache.iterdir()) == []
    (cache / "making-of-a-killed-run").mkdir()
    deb.write_bytes(whole)
    assert (kernel_directory(cache, (deb,)) / "vmlinux").read_bytes() == ELF
    assert not list(cache.glob("making-*"))


class Mirror:
    """A mirror that has what it is given, in place of apt's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.debs: list[Path] = []
        self.online = True
        self.updates = 0
        monkeypatch.setattr(Suite, "update", lambda _: self.update())
        monkeypatch.setattr(Suite, "kernel", lambda *_: "linux-image")
        monkeypatch.setattr(Suite, "packages", lambda *_: ["linux-image"])
        monkeypatch.setattr(Suite, "label", lambda *_: self.debs[-1].name.removesuffix("_amd64.deb"))
        monkeypatch.setattr(Suite, "download", lambda *_: self.debs[-1:])

    def update(self) -> None:
        self.updates += 1
        if not self.online:
            raise VmError("the mirror does not answer")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Mirror:
    return Mirror(monkeypatch)


def test_newer_packages_are_looked_for_after_a_day_and_without_a_mirror_the_old_kernel_is_kept(
    mirror: Mirror, cache: Path, build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"boot/vmlinuz-{RELEASE}": bzimage(), **at("lib/modules", MODULES)}
    mirror.debs.append(build("linux-image", files, "1-1"))
    first = kernel_directory(cache, "newest")
    mirror.debs.append(build("linux-image", files, "1-2"))
    assert kernel_directory(cache, "newest") == first
    assert mirror.updates == 1
    later = time.time() + kernels.DAY_SECONDS + 60
    monkeypatch.setattr(time, "time", lambda: later)
    mirror.online = False
    assert kernel_directory(cache, "newest") == first
    mirror.online = True
    monkeypatch.setattr(time, "time", lambda: later + kernels.DAY_SECONDS + 60)
    assert kernel_directory(cache, "newest").name == "linux-image_1-2"


def test_without_a_mirror_and_a_kernel_the_reason_is_given(mirror: Mirror, cache: Path) -> None:
    mirror.online = False
    with pytest.raises(VmError, match="the mirror does not answer"):
        kernel_directory(cache, "newest")


@pytest.mark.parametrize(
    ("uri", "says"), [("file:/nonexistent", "cannot fetch the index of trixie-backports: .*nonexistent")]
)
def test_a_suite_that_the_mirror_does_not_have_is_named_with_apts_reason(
    uri: str, says: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "mirror", lambda: uri)
    with pytest.raises(VmError, match=says):
        kernel_directory(cache, "newest")


class Archive:
    """An archive with one suite, for apt itself. It is not signed, so only a source that is declared trusted may use
    it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        monkeypatch.setattr(packages, "mirror", lambda: f"file:{directory}")
        monkeypatch.setattr(packages, "KEYRING", f"{packages.KEYRING} trusted=yes")

    def publish(self, *debs: tuple[Path, str]) -> None:
        """Have an index of these packages; the text is what each depends on."""
        index = ""
        for deb, depends in debs:
            name, version, _ = deb.stem.split("_")
            target = self.directory / deb.name
            target.write_bytes(deb.read_bytes())
            checksum = hashlib.sha256(deb.read_bytes()).hexdigest()
            index += f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {deb.name}\n"
            index += f"Depends: {depends}\n" if depends else ""
            index += f"Size: {deb.stat().st_size}\nSHA256: {checksum}\nDescription: a\n\n"
        suite = self.directory / "dists" / packages.BACKPORTS
        (suite / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
        (suite / "main/binary-amd64/Packages").write_text(index)
        checksum = hashlib.sha256(index.encode()).hexdigest()
        (suite / "Release").write_text(
            f"Suite: {packages.BACKPORTS}\nArchitectures: amd64\nComponents: main\n"
            f"Date: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n {checksum} {len(index)} main/binary-amd64/Packages\n"
        )


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    directory = tmp_path / "archive"
    directory.mkdir()
    return Archive(directory, monkeypatch)


@pytest.fixture
def split(build: Callable[..., Path]) -> list[tuple[Path, str]]:
    """A kernel over several packages, an older one, and one that cannot boot here, as Debian has them."""
    binary, modules = at("usr/lib/modules", {"vmlinuz": bzimage()}), at("usr/lib/modules", MODULES)
    image = f"linux-image-{RELEASE}"
    return [
        (build("linux-image-amd64", {}, "7.9.1"), f"{image} (= 7.9.1), linux-base-amd64, linux-modules-amd64"),
        (build(image, {}), f"linux-binary-{RELEASE}, linux-modules-{RELEASE}, kmod"),
        (build(f"linux-binary-{RELEASE}", binary), "linux-base"),
        (build(f"linux-modules-{RELEASE}", modules), ""),
        (build("linux-image-7.9.0+deb13-amd64", {}), ""),
        (build("linux-image-7.9.2+deb13-cloud-amd64", {}), ""),
    ]


@pytest.mark.parametrize("version", ["newest", "7.9", "7.9.1"])
def test_a_kernel_is_found_by_its_version_and_fetched_with_all_its_packages(
    version: str, archive: Archive, split: list[tuple[Path, str]], cache: Path
) -> None:
    archive.publish(*split)
    root = kernel_directory(cache, version)
    assert (root.name, (root / "vmlinux").read_bytes()) == (f"linux-image-{RELEASE}_7.9.1-1", ELF)
    assert {path.name for path in cache.iterdir()} == {root.name, version, "apt"}


def test_a_kernel_whose_modules_the_mirror_has_dropped_is_refused(
    archive: Archive, split: list[tuple[Path, str]], cache: Path
) -> None:
    archive.publish(*(each for each in split if "modules-7" not in each[0].name))
    with pytest.raises(VmError, match=rf"(fetch|module).*{re.escape(RELEASE)}"):
        kernel_directory(cache, "newest")
    assert {path.name for path in cache.iterdir()} == {"apt"}


def test_a_version_that_the_suite_does_not_have_is_named(
    archive: Archive, split: list[tuple[Path, str]], cache: Path
) -> None:
    archive.publish(*split)
    with pytest.raises(VmError, match=r"trixie-backports has no kernel 7\.8"):
        kernel_directory(cache, "7.8")


def test_a_package_that_is_not_what_the_index_says_is_refused_and_fetched_again_later(
    archive: Archive, split: list[tuple[Path, str]], cache: Path
) -> None:
    archive.publish(*split)
    damaged = archive.directory / split[2][0].name
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(VmError, match="cannot fetch"):
        kernel_directory(cache, "newest")
    assert {path.name for path in cache.iterdir()} == {"apt"}
    archive.publish(*split)
    assert (kernel_directory(cache, "newest") / "vmlinux").read_bytes() == ELF


def test_an_index_that_is_not_signed_by_debian_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = tmp_path / "archive" / "dists" / "trixie-backports"
    suite.mkdir(parents=True)
    (suite / "Release").write_text("Suite: trixie-backports\nArchitectures: amd64\nComponents: main\n")
    monkeypatch.setattr(packages, "mirror", lambda: f"file:{tmp_path / 'archive'}")
    with pytest.raises(VmError, match="not signed"):
        kernel_directory(cache, "newest")
