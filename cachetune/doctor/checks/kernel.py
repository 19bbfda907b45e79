"""CT61x: the kernel's configuration and command line."""

from cachetune.doctor.examination import Examination
from cachetune.doctor.model import Verdict, broken, check, info, known, ok
from cachetune.findings import Rule
from cachetune.host.model import Host
from cachetune.text import listed

# Names that the option has had: 4.14, 5.0, 5.1 and later.
_X86 = ("CONFIG_X86_CPU_RESCTRL", "CONFIG_X86_RESCTRL", "CONFIG_INTEL_RDT")
_ARM = ("CONFIG_ARM64_MPAM", "CONFIG_RESCTRL_FS")
# Source: rdt_options and the telemetry options in the kernel's arch/x86/kernel/cpu/resctrl.
_RDT = frozenset(
    "cmt mbmtotal mbmlocal l3cat l3cdp l2cat l2cdp mba smba bmec abmc sdciae energy perf".split()  # noqa: SIM905
)
_NO_MPAM = "arm64.nompam"


def _configuration(rule: Rule, seen: Examination) -> Verdict:
    kernel = known(seen.kernel)
    if isinstance(seen.host, Host) or kernel.has_resctrl is True:
        return ok(f"kernel {kernel.release} has resctrl")
    config = known(kernel.config)
    if "CONFIG_ARM64" in config.options:
        missing = [option for option in _ARM if option not in config.options]
    else:
        missing = [] if config.options & set(_X86) else [_X86[0]]
    if missing:
        return broken(rule, release=kernel.release, missing=listed(missing), details=(f"according to {config.source}",))
    return ok(f"kernel {kernel.release} is built with resctrl")


CONFIGURATION = check(
    Rule(
        id="CT611",
        severity="error",
        summary="The kernel must be built with resctrl.",
        message="kernel {release} is built without {missing}",
        fix="boot a kernel with {missing}; those of distributions for x86 servers have it",
        bad="/boot/config-6.12.95 has '# CONFIG_X86_CPU_RESCTRL is not set'",
        good="/boot/config-6.12.95 has CONFIG_X86_CPU_RESCTRL=y",
        host="scene",
    ),
    "kernel",
    "kernel configuration",
)(_configuration)


def _command_line(rule: Rule, seen: Examination) -> Verdict:
    line = known(known(seen.kernel).command_line)
    words = line.split()
    if _NO_MPAM in words:
        return broken(
            rule, text=f"{_NO_MPAM} switches MPAM off", fix=f"remove {_NO_MPAM} from the command line and reboot"
        )
    options = [option for word in words if word.startswith("rdt=") for option in word.removeprefix("rdt=").split(",")]
    unknown = [option for option in options if option.lstrip("!").partition(":")[0] not in _RDT]
    if unknown:
        return broken(rule, unknown=listed([repr(option) for option in unknown]))
    off = [option for option in options if option.startswith("!")]
    if off:
        return info(f"rdt= switches off {listed([option[1:] for option in off])}")
    return ok(f"rdt= switches on {listed(options)}" if options else "the command line has no rdt=")


COMMAND_LINE = check(
    Rule(
        id="CT612",
        severity="warning",
        summary="The options after rdt= on the kernel's command line must exist.",
        message="the kernel does not know {unknown} in rdt=",
        fix="the options are " + ", ".join(sorted(_RDT)) + "; with ! they are switched off",
        bad="the command line has rdt=catl3",
        good="the command line has rdt=l3cat",
        host="scene",
    ),
    "kernel",
    "kernel command line",
)(_command_line)

CHECKS = (CONFIGURATION, COMMAND_LINE)
