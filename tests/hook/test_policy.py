"""The hook and the host's policy: checked before a guest starts; a broken policy never keeps a guest's groups."""

from pathlib import Path

from cachetune.testing.guests import NamedThreads
from tests.hook.calling import Libvirt, cache, domain, tuning


def policy(directory: Path, text: str) -> tuple[str, ...]:
    file = directory / "host.toml"
    file.write_text(text)
    return ("--shrink-default", "--strict", "--policy", str(file))


def test_a_guest_for_which_the_default_group_would_have_too_little_does_not_start(
    libvirt: Libvirt, tmp_path: Path
) -> None:
    libvirt.file("web", tuning(cache()))
    live = domain("web", number=3)
    (line,) = libvirt.hook("prepare", "web", live, *policy(tmp_path, '[default.L3]\nleast = "10ways"\n'), code=1)
    assert "the default group would have 9 ways, less than 10 ways (default.L3.least in" in line
    assert libvirt.hook("prepare", "web", live, *policy(tmp_path, '[default.L3]\nleast = "9ways"\n')) == []


def test_a_policy_that_is_not_valid_stops_a_start_but_not_an_end(
    libvirt: Libvirt, qemu: NamedThreads, tmp_path: Path
) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    live = domain("web", number=3)
    before = libvirt.tree()
    assert libvirt.hook("started", "web", live, *policy(tmp_path, ""))
    broken = policy(tmp_path, "[defaults]\n")
    (line,) = libvirt.hook("prepare", "web", live, *broken, code=1)
    assert "unknown key 'defaults'; did you mean 'default'?" in line
    assert libvirt.hook("release", "web", domain("web"), *broken)
    assert libvirt.tree() == before
