"""CT67x: the hook and the units, permissions, security modules, and the mount at boot."""

import shlex

from cachetune.doctor.checks.mount import why_not_mounted
from cachetune.doctor.examination import Examination, Installed, Unknown
from cachetune.doctor.model import Verdict, broken, check, info, known, ok, skipped
from cachetune.findings import Rule
from cachetune.text import count, listed, printable

_OTHERS_MAY_WRITE = 0o022


def _hook(rule: Rule, seen: Examination) -> Verdict:
    hooks = known(seen.hooks)
    for hook in hooks:
        if hook.refused:
            return broken(rule, file=hook.file, why=f"cachetune-hook refuses its options: {printable(hook.refused)}")
        if not hook.program_path:
            return broken(rule, file=hook.file, why=f"there is no program {printable(hook.program)}")
        if not hook.is_active:
            return broken(
                rule,
                status="warn",
                text=f"{hook.file} is not executable, so libvirt ignores it",
                fix=f"run: chmod 755 {shlex.quote(hook.file)}",
                command=f"chmod 755 {shlex.quote(hook.file)}",
            )
    if len(hooks) > 1:
        return broken(
            rule,
            status="warn",
            text=f"cachetune-hook is installed more than once: {listed([hook.file for hook in hooks])}",
            fix="keep one of them",
        )
    return ok(f"{hooks[0].file} calls {hooks[0].program_path}" if hooks else "libvirt's hook is not installed")


HOOK = check(
    Rule(
        id="CT671",
        severity="error",
        summary="An installed hook must be executable and call an existing program with valid options.",
        message="{file} fails at every start of a guest: {why}",
        fix="correct HOOK_OPTIONS in /etc/default/cachetune, or write the file again: cachetune install --hook",
        bad="/etc/libvirt/hooks/qemu.d/cachetune calls /opt/cachetune/bin/cachetune-hook, which does not exist",
        good="/etc/libvirt/hooks/qemu.d/cachetune calls /opt/cachetune/bin/cachetune-hook, which exists",
        host="scene",
    ),
    "installation",
    "hook",
)(_hook)


def _units(rule: Rule, seen: Examination) -> Verdict:
    units = known(seen.units)
    services = [unit for unit in units if unit.program]
    for unit in services:
        if not unit.program_path:
            return broken(rule, file=unit.file, program=printable(unit.program))
    off = [_name(unit) for unit in services if not unit.is_active]
    if off:
        return info(f"installed but not enabled: {listed(off)}", f"enable it: systemctl enable --now {' '.join(off)}")
    return ok(f"enabled: {listed([_name(unit) for unit in services])}" if services else "no unit is installed")


def _name(unit: Installed) -> str:
    return unit.file.rpartition("/")[2]


UNITS = check(
    Rule(
        id="CT672",
        severity="error",
        summary="An installed unit must start an existing program.",
        message="{file} cannot start: there is no program {program}",
        fix="write it again, such as with 'cachetune install --agent', and run 'systemctl daemon-reload'",
        bad="/etc/systemd/system/cachetune-agent.service starts /usr/bin/cachetune, which is in /usr/local/bin",
        good="/etc/systemd/system/cachetune-agent.service starts /usr/local/bin/cachetune, which exists",
        host="scene",
    ),
    "installation",
    "units",
)(_units)


def _placing(rule: Rule, seen: Examination) -> Verdict:
    agent = known(seen.agent)
    if agent and agent.status.running and not agent.is_alive:
        return broken(
            rule,
            text=f"the agent (process {agent.status.pid}) was killed, and its guests are no longer kept placed",
            fix="start it: systemctl start cachetune-agent",
            command="systemctl start cachetune-agent",
        )
    if agent and agent.is_alive and agent.status.problem:
        return broken(rule, text=f"the agent cannot work: {printable(agent.status.problem)}", fix="see 'agent status'")
    if agent and agent.is_alive:
        return ok(f"the agent is running (process {agent.status.pid})")
    files = known(seen.tuning_files)
    hooks = [hook for hook in known(seen.hooks) if hook.is_active and hook.program_path]
    if files and not hooks:
        return broken(rule, files=count(len(files), "tuning file"), directory=seen.guests_d)
    return ok(f"the hook places guests ({hooks[0].file})" if hooks else "there are no tuning files to apply")


PLACING = check(
    Rule(
        id="CT673",
        severity="warning",
        summary="The agent or the hook must be active where guests.d has files.",
        message="{files} in {directory}, but neither the agent nor the hook is active to apply them",
        fix="install one and start it: cachetune install --agent, or cachetune install --hook",
        bad="guests.d has files, no agent is running, and no hook is installed",
        good="guests.d has files, and the hook is installed",
        host="scene",
    ),
    "installation",
    "agent or hook",
)(_placing)


def _permissions(rule: Rule, seen: Examination) -> Verdict:
    loose = known(seen.loose)
    if not loose:
        return ok("only root can change cachetune's files")
    writable = [each.path for each in loose if each.mode & _OTHERS_MAY_WRITE]
    foreign = [each.path for each in loose if each.owner]
    parts = [
        *([f"chmod go-w {shlex.join(writable)}"] if writable else []),
        *([f"chown root {shlex.join(foreign)}"] if foreign and not writable else []),
    ]
    details = tuple(f"{each.path}: mode {each.mode:o}, owner {each.owner}" for each in loose)
    more = f" (and {len(loose) - 1} more)" if len(loose) > 1 else ""
    return broken(rule, path=loose[0].path, more=more, command="; ".join(parts), details=details)


PERMISSIONS = check(
    Rule(
        id="CT674",
        severity="error",
        summary="Only root may change cachetune's files, the hook and what they call.",
        message="other users than root can change {path}{more}",
        fix="restrict it: {command}",
        bad="/etc/cachetune/guests.d has mode 777",
        good="/etc/cachetune/guests.d has mode 755 and is root's",
        host="scene",
    ),
    "installation",
    "permissions",
)(_permissions)


def _denials(rule: Rule, seen: Examination) -> Verdict:
    denials = known(seen.denials)
    if not denials.module:
        return ok("neither SELinux nor AppArmor is active")
    if denials.lines:
        return broken(
            rule, module=denials.module, number=count(len(denials.lines), "time"), log=denials.logs[0],
            details=tuple(map(printable, denials.lines)),
        )  # fmt: skip
    return ok(f"{denials.module} has denied nothing lately, according to {listed(denials.logs)}")


DENIALS = check(
    Rule(
        id="CT675",
        severity="warning",
        summary="SELinux or AppArmor must not deny what cachetune and its hook do.",
        message="{module} has denied access to resctrl or cachetune {number}, according to {log}",
        fix="allow it in the policy: 'doctor -v' shows the lines; audit2allow (SELinux) or aa-logprof (AppArmor) help",
        bad="audit.log has 'avc: denied' for cachetune-hook",
        good="audit.log has no denial for resctrl or cachetune",
        host="scene",
    ),
    "installation",
    "security modules",
)(_denials)


def _boot(rule: Rule, seen: Examination) -> Verdict:
    if seen.kind != "mounted" and not (seen.kind == "copy" and not isinstance(seen.mounted_at_boot, Unknown)):
        return skipped(why_not_mounted(seen))
    by = known(seen.mounted_at_boot)
    if by:
        return ok(f"{by} mounts resctrl at boot")
    files = {} if isinstance(seen.tuning_files, Unknown) else seen.tuning_files
    hooks = () if isinstance(seen.hooks, Unknown) else seen.hooks
    if files or hooks:
        return broken(rule, root=seen.resctrl)
    return info(f"nothing mounts resctrl at {seen.resctrl} at the next boot", "run: cachetune install --mount")


BOOT = check(
    Rule(
        id="CT676",
        severity="warning",
        summary="resctrl must be mounted at every boot where guests rely on it.",
        message="resctrl was mounted by hand: after the next boot, nothing is mounted at {root}",
        fix="run: cachetune install --mount; then enable the unit, or add a line to /etc/fstab",
        bad="a tuning file exists, and neither /etc/fstab nor a unit mounts resctrl",
        good="a tuning file exists, and /etc/fstab has a line for resctrl",
        host="scene",
    ),
    "installation",
    "mount at boot",
)(_boot)

CHECKS = (HOOK, UNITS, PLACING, PERMISSIONS, DENIALS, BOOT)
