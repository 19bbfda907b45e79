"""Running programs that use resctrl, and the configuration of container runtimes."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cachetune.doctor.collect.reading import is_there, names_in, read_bytes, read_text
from cachetune.doctor.examination import Program, RuntimeConfig, Unknown
from cachetune.doctor.tools import TOOLS

_LARGEST_ARGUMENTS = 1 << 16
_INTERPRETERS = ("sh", "bash", "dash", "python", "python3")
_MOST_IMPORTS = 100


def programs_of(proc: Path) -> tuple[Program, ...] | Unknown:
    """Every running process of a program in TOOLS."""
    names = names_in(proc)
    if isinstance(names, Unknown):
        return names
    pids = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    if not pids:
        return Unknown(f"there are no processes in {proc}")
    found = (_program(pid, proc) for pid in pids)
    return tuple(program for program in found if program)


def _program(pid: int, proc: Path) -> Program | None:
    data = read_bytes(proc / str(pid) / "cmdline", _LARGEST_ARGUMENTS)
    if isinstance(data, Unknown) or not data:
        return None  # it has ended, or is a kernel thread
    arguments = data.decode("utf-8", "replace").rstrip("\0").split("\0")
    if _name(arguments[0]) in _INTERPRETERS:
        arguments = arguments[1:] or arguments  # a wrapper, such as pqos-msr
    name = _name(arguments[0])
    return Program(pid, name, tuple(arguments[1:])) if name in TOOLS else None


def _name(argument: str) -> str:
    return argument.rpartition("/")[2]


def runtimes_of(root: Path) -> tuple[RuntimeConfig, ...] | Unknown:
    """The configuration files of containerd and CRI-O, each with the RDT configuration that it names."""
    return (*_containerd(root), *_crio(root))


def _containerd(root: Path) -> Iterator[RuntimeConfig]:
    main = root / "etc/containerd/config.toml"
    files = [main, *_below(root / "etc/containerd/conf.d", ".toml")]
    for path in files[:_MOST_IMPORTS]:
        yield from _runtime("containerd", path, _of_containerd)


def _crio(root: Path) -> Iterator[RuntimeConfig]:
    for path in (root / "etc/crio/crio.conf", *_below(root / "etc/crio/crio.conf.d", ""))[:_MOST_IMPORTS]:
        yield from _runtime("CRI-O", path, _of_crio)


def _below(directory: Path, suffix: str) -> list[Path]:
    names = names_in(directory)
    return [] if isinstance(names, Unknown) else [directory / name for name in names if name.endswith(suffix)]


def _runtime(program: str, path: Path, find: Any) -> Iterator[RuntimeConfig]:
    text = read_text(path)
    if isinstance(text, Unknown):
        if text.hint or is_there(path):
            yield RuntimeConfig(program, str(path), problem=text.why)
        return
    try:
        found = find(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError) as error:
        yield RuntimeConfig(program, str(path), problem=f"{path} is not valid: {error}")
        return
    yield RuntimeConfig(program, str(path), found if isinstance(found, str) else "")


def _of_containerd(document: dict[str, Any]) -> Any:
    """``rdt_config_file`` of the tasks service."""
    plugins = document.get("plugins", {})
    return plugins.get("io.containerd.service.v1.tasks-service", {}).get("rdt_config_file", "")


def _of_crio(document: dict[str, Any]) -> Any:
    """``rdt_config_file`` of the section [crio.runtime]."""
    return document.get("crio", {}).get("runtime", {}).get("rdt_config_file", "")
