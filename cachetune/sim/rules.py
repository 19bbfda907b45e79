"""The kernels whose rules can be simulated, and what each of them does differently.

A difference is named once, as a field of ``KernelRules``; ``_INTRODUCED`` says which kernel brought it. The simulation
tests for the difference, never for a version.
"""

import msgspec

from cachetune.errors import UnknownVersionError


class KernelRules(msgspec.Struct, frozen=True):
    """The behavior of one kernel. A field is True for the kernel that introduced the behavior and all later ones."""

    version: str

    task_lists: bool = False
    """One write can have a comma-separated list of tids, and every refusal has a text."""
    rename: bool = False
    """Monitor groups can be renamed and moved."""
    sparse_masks_file: bool = False
    """The file exists, and Intel processors that support masks with holes get them."""
    closid_first: bool = False
    """mkdir allocates the CLOSID before the RMID; in 6.1 the RMID comes first."""
    limbo_always: bool = False
    """A freed RMID waits for the next check of every cache; 6.1 checks the current CPU's cache immediately."""
    amd_slow_memory: bool = False
    """SMBA and configurable events (BMEC)."""
    debug_option: bool = False
    """The mount option debug, which shows CLOSIDs and RMIDs."""
    sub_numa: bool = False
    """Each Sub-NUMA node of an L3 cache has its own counters; 6.1 does not know them."""

    unpadded_values: bool = False
    """Masks and bandwidths in schemata have no leading zeros or blanks."""
    mbps_event_file: bool = False
    """mba_MBps works with either event of memory bandwidth; each control group names its own."""
    assign_mode_file: bool = False
    """Every monitor shows mbm_assign_mode; AMD's assignable counters (ABMC) are used."""
    groups_clear_status: bool = False
    """mkdir, rename and writes to cpus and cpus_list clear last_cmd_status."""
    info_is_no_group: bool = False
    """mkdir in info fails with ENODEV, which was EPERM."""

    sparse_initial_masks: bool = False
    """Where masks may have holes, a new group gets all usable bits, not only the lowest run of them."""
    arm: bool = False
    """Arm's MPAM behind resctrl."""
    telemetry: bool = False
    """Intel's telemetry events of a package (PERF_PKG_MON)."""
    io_alloc: bool = False
    """The ways that I/O devices fill can be chosen (AMD SDCIAE)."""
    assigns_everywhere: bool = False
    """Assigning counters in all L3 caches goes on after one that has no counter left; 6.18 stops there."""
    lookup_clears_status: bool = False
    """Whatever looks up a group clears last_cmd_status: reading any of its files, and rmdir."""
    invalid_input_texts: bool = False
    """A missing final newline and a bad max_threshold_occupancy have a text."""
    truncation_marked: bool = False
    """A last_cmd_status that is too long ends with [truncated]."""


_INTRODUCED = {
    "6.1": (),
    "6.12": (
        *("task_lists", "rename", "sparse_masks_file", "closid_first", "limbo_always", "amd_slow_memory"),
        *("debug_option", "sub_numa"),
    ),
    "6.18": ("unpadded_values", "mbps_event_file", "assign_mode_file", "groups_clear_status", "info_is_no_group"),
    "7.3": (
        *("sparse_initial_masks", "arm", "telemetry", "io_alloc", "assigns_everywhere"),
        *("lookup_clears_status", "invalid_input_texts", "truncation_marked"),
    ),
}


def _kernels() -> dict[str, KernelRules]:
    found: dict[str, KernelRules] = {}
    known: dict[str, bool] = {}
    for version, introduced in _INTRODUCED.items():
        known |= dict.fromkeys(introduced, True)
        found[version] = KernelRules(version=version, **known)
    return found


KERNELS = _kernels()
"""The simulated kernels, oldest first."""

DEFAULT_KERNEL = "6.12"
"""The kernel of a profile that names none: the oldest that a supported distribution installs on new hosts, and what has
not changed since is the larger part. A profile of a processor that needs a newer one names it."""


def rules_of(kernel: str) -> KernelRules:
    """Return the rules of a kernel version. Raises UnknownVersionError."""
    if kernel not in KERNELS:
        raise UnknownVersionError("kernel", kernel, ", ".join(KERNELS))
    return KERNELS[kernel]
