"""Copies of a simulated machine as plain files: its resctrl tree and its sysfs.

Reading a host from such files gives the same as reading the simulated resctrl. Writing to them has no effect.
"""

import errno
from pathlib import Path

from cachetune.errors import ResctrlError
from cachetune.host.resctrl.port import Resctrl
from cachetune.sim.numbers import format_cpu_list
from cachetune.sim.profile import Profile, cpus_of

_CPUS = "devices/system/cpu"
_NODES = "devices/system/node"
_UNREADABLE = {
    errno.EACCES,  # files of a group in pseudo-locksetup
    errno.EINVAL,  # io_alloc_cbm while io_alloc is off, assignments while counters are not assigned
}


def write_tree(fs: Resctrl, directory: Path, path: str = "") -> None:
    """Copy all readable files into a new directory."""
    directory.mkdir()
    for name in fs.listdir(path):
        inside = f"{path}/{name}".lstrip("/")
        try:
            write_tree(fs, directory / name, inside)
        except ResctrlError as error:
            if error.errno != errno.ENOTDIR:
                raise
            (directory / name).rmdir()
            _copy_file(fs, inside, directory / name)


def _copy_file(fs: Resctrl, path: str, to: Path) -> None:
    try:
        to.write_text(fs.read(path), encoding="utf-8", errors="surrogateescape")
    except ResctrlError as error:
        if error.errno not in _UNREADABLE:
            raise


def write_sysfs(profile: Profile, directory: Path) -> None:
    """Write the files of /sys that describe processors and caches below a directory."""
    for path, text in sysfs_files(profile).items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")


def sysfs_files(profile: Profile) -> dict[str, str]:
    """Return these files as path relative to /sys and content."""
    files = {f"{_CPUS}/online": format_cpu_list(range(profile.cpu_count)) + "\n"}
    files |= {f"{_NODES}/node{node}/cpulist": f"{cpus}\n" for node, cpus in profile.node_cpus().items()}
    for cpu, caches in enumerate(_caches_of_cpus(profile)):
        for index, cache in enumerate(caches):
            directory = f"{_CPUS}/cpu{cpu}/cache/index{index}"
            files.update((f"{directory}/{name}", f"{text}\n") for name, text in cache.items())
    return files


def _caches_of_cpus(profile: Profile) -> list[list[dict[str, object]]]:
    """Return the caches of each CPU, nearest first."""
    cores = profile.cpu_count // profile.threads_per_core
    found: list[list[dict[str, object]]] = []
    for cpu in range(profile.cpu_count):
        own = format_cpu_list(range(cpu % cores, profile.cpu_count, cores))
        found.append([_entry(c.level, c.type, cpu % cores, c.size_bytes, own) for c in profile.core_caches])
    for cache in sorted(profile.caches, key=lambda c: c.level):
        for cache_id, cpu_list in zip(cache.ids, cache.cpu_lists, strict=True):
            for cpu in cpus_of(cpu_list):
                found[cpu].append(_entry(cache.level, "Unified", cache_id, cache.size_of(cache_id), cpu_list))
    return found


def _entry(level: int, kind: str, cache_id: int, size_bytes: int, cpu_list: str) -> dict[str, object]:
    entry = {"id": cache_id, "level": level, "type": kind, "shared_cpu_list": cpu_list}
    return entry | ({"size": f"{size_bytes // 1024}K"} if size_bytes else {})
