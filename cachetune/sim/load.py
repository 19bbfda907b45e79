"""Read profiles: those that come with cachetune, and files."""

from importlib.resources import files

import msgspec

from cachetune.errors import DocumentError, ProfileNotFoundError
from cachetune.sim.check import problems
from cachetune.sim.profile import Profile


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="variant"):
    """The processor of another profile (``like``) with other mount options, counters to assign, or Sub-NUMA nodes."""

    name: str
    description: str
    like: str
    mount_options: tuple[str, ...] = ()
    counters: int | None = None
    sub_numa_nodes: int = 1


def decode_profile(data: bytes, name: str) -> Profile:
    """Read a profile from JSON. Raises DocumentError, which names the profile and the field at fault."""
    return _decode(data, f"profile {name}")


def _decode(data: bytes, name: str) -> Profile:
    try:
        found = msgspec.json.decode(data, type=Profile | Variant)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DocumentError(name, str(error)) from error
    profile = _varied(found, name) if isinstance(found, Variant) else found
    for problem in problems(profile):
        raise DocumentError(name, problem)
    return profile


def _varied(variant: Variant, name: str) -> Profile:
    try:
        base = load_profile(variant.like)
    except ProfileNotFoundError as error:
        raise DocumentError(name, f"like: {error}", hint=error.hint) from error
    monitoring = base.monitoring
    if variant.counters is not None:
        if monitoring is None or monitoring.counters is None:
            raise DocumentError(name, f"counters: {variant.like} has no counters to assign")
        monitoring = msgspec.structs.replace(monitoring, counters=variant.counters)
    return msgspec.structs.replace(
        base,
        name=variant.name,
        description=variant.description,
        mount_options=variant.mount_options,
        monitoring=monitoring,
        sub_numa_nodes=variant.sub_numa_nodes,
    )


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with cachetune."""
    entries = [entry.name for entry in files("cachetune.sim").joinpath("profiles").iterdir()]
    return tuple(sorted(name.removesuffix(".json") for name in entries if name.endswith(".json")))


def load_profile(name: str) -> Profile:
    """Return the profile with this name. Raises ProfileNotFoundError."""
    if name not in profile_names():
        raise ProfileNotFoundError(name, profile_names())
    data = files("cachetune.sim").joinpath("profiles", f"{name}.json").read_bytes()
    return decode_profile(data, name)
