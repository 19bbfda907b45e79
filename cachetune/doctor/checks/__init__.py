"""All checks, by topic: first what the others depend on."""

from cachetune.doctor.checks import counters, guests, hardware, installation, kernel, mount, others, state
from cachetune.doctor.model import Check
from cachetune.findings import Rule

CHECKS: tuple[Check, ...] = (
    *(*hardware.CHECKS, *kernel.CHECKS, *mount.CHECKS, *counters.CHECKS),
    *(*others.CHECKS, *guests.CHECKS, *state.CHECKS, *installation.CHECKS),
)
RULES: dict[str, Rule] = {check.id: check.rule for check in CHECKS}
