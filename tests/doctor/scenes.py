"""A bad and a good host for every check. Both start from a healthy server, and most change files of it.

A change returns nothing, or an Examination where files cannot show the situation (a live mount, a full file system).
``also`` are checks that break along with it, because they see the same fault from another side.
"""

import os
import time
from collections.abc import Callable, Mapping

import msgspec

from cachetune.apply.state.journal import Journal
from cachetune.doctor.examination import Examination, Space
from tests.doctor.servers import CPUINFO, DEFINITION, FSTAB, GROUP, PID, RELEASE, TUNING, VCPUS, Server

Change = Callable[[Server], Examination | None]


def healthy(_: Server) -> None:
    """The server unchanged."""


class Scene(msgspec.Struct, frozen=True):
    """A bad and a good host for one check."""

    bad: Change
    good: Change = healthy
    also: frozenset[str] = frozenset()


# -- hardware -----------------------------------------------------------------------------------------------------


def a_virtual_machine(server: Server) -> None:
    server.write("proc/cpuinfo", CPUINFO.format(flags="hypervisor"))
    server.without_resctrl()


def no_l3_control(server: Server) -> None:
    """As Linux does on Skylake servers without rdt=l3cat."""
    server.end_guest()
    server.delete("run/cachetune")
    server.delete("sys/fs/resctrl/info/L3")
    server.delete(f"sys/fs/resctrl/{GROUP}")
    server.delete("etc/cachetune/guests.d/web.xml")
    for name in ("schemata", "size"):
        server.write(f"sys/fs/resctrl/{name}", "    MB:0=100;1=100\n")


def sub_numa_clusters(server: Server) -> None:
    for node in (0, 1):
        (server.resctrl / f"mon_data/mon_L3_00/mon_sub_L3_0{node}").mkdir()


def ways_of_devices(server: Server) -> None:
    server.write(f"sys/fs/resctrl/{GROUP}/schemata", "    MB:0=100;1=100\n    L3:0=600;1=7ff\n")
    server.write("sys/fs/resctrl/schemata", "    MB:0=100;1=100\n    L3:0=1ff;1=7ff\n")


# -- kernel -------------------------------------------------------------------------------------------------------


def built_without_resctrl(server: Server) -> None:
    server.write(f"boot/config-{RELEASE}", "CONFIG_X86_64=y\n# CONFIG_X86_CPU_RESCTRL is not set\n")
    server.without_resctrl()


def command_line(options: str) -> Change:
    def change(server: Server) -> None:
        server.write("proc/cmdline", f"root=/dev/sda1 {options}\n")

    return change


# -- mount --------------------------------------------------------------------------------------------------------


def not_mounted(server: Server) -> None:
    server.unmount()


def an_empty_schemata(server: Server) -> None:
    server.group("other", "", "1\n")


def mounted(*, read_only: bool) -> Change:
    def change(server: Server) -> Examination:
        return msgspec.structs.replace(server.examined(), kind="mounted", is_read_only=read_only)

    return change


def a_request_for_code(server: Server) -> None:
    server.write("etc/cachetune/guests.d/web.xml", TUNING.replace("type='both'", "type='code'"))


# -- counters -----------------------------------------------------------------------------------------------------


def counters(*, left: int, assigned: str) -> Change:
    """32 assignable counters for each cache; the guest's group has some or none."""

    def change(server: Server) -> None:
        for name, text in {
            "mbm_assign_mode": "[mbm_event]\ndefault",
            "num_mbm_cntrs": "0=32;1=32",
            "available_mbm_cntrs": f"0={left};1={left}",
            "mbm_assign_on_mkdir": "1",
        }.items():
            server.write(f"sys/fs/resctrl/info/L3_MON/{name}", f"{text}\n")
        server.write("sys/fs/resctrl/mbm_L3_assignments", "mbm_total_bytes:0=e;1=e\nmbm_local_bytes:0=e;1=e\n")
        mark = f"mbm_total_bytes:0={assigned};1={assigned}\n"
        server.write(f"sys/fs/resctrl/{GROUP}/mbm_L3_assignments", mark)

    return change


def limit(path: str, number: int) -> Change:
    def change(server: Server) -> None:
        server.write(f"sys/fs/resctrl/info/{path}", f"{number}\n")

    return change


# -- other programs -----------------------------------------------------------------------------------------------

OTHERS_WAYS = "    MB:0=100;1=100\n    L3:0=600;1=7ff"


def groups_of_pqos(server: Server) -> None:
    for number in range(1, 7):
        server.group(f"COS{number}", OTHERS_WAYS)


def a_busy_group(server: Server) -> None:
    server.process(900, "nginx")
    server.group("BestEffort", OTHERS_WAYS, "900")


def process(*arguments: str) -> Change:
    return lambda server: server.process(900, *arguments)


def crio_with_rdt(server: Server) -> None:
    server.write("etc/crio/crio.conf.d/rdt.conf", '[crio.runtime]\nrdt_config_file = "/etc/rdt.yaml"\n')


def containerd_without_rdt(server: Server) -> None:
    plugin = "[plugins.'io.containerd.service.v1.tasks-service']"
    server.write("etc/containerd/config.toml", f"version = 2\n{plugin}\n  rdt_config_file = ''\n")


def a_new_group(server: Server) -> None:
    server.group("test", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff", "1")


def ways_that_never_came_back(server: Server) -> None:
    server.end_guest()
    server.delete(f"sys/fs/resctrl/{GROUP}")
    server.change_ledger(msgspec.structs.replace(server.ledger, guests={}))


# -- guests -------------------------------------------------------------------------------------------------------


def an_invalid_file(server: Server) -> None:
    server.write("etc/cachetune/guests.d/web.xml", TUNING.replace("level=", "levl="))


def a_misspelled_file(server: Server) -> None:
    server.write("etc/cachetune/guests.d/wbe.xml", TUNING)


def threads_in_the_default_group(server: Server) -> None:
    server.write(f"sys/fs/resctrl/{GROUP}/tasks", "")
    server.write("sys/fs/resctrl/tasks", "".join(f"{tid}\n" for tid in (1, PID, *VCPUS)))


def pinned_to(cpus: str) -> Change:
    return lambda server: server.pin(cpus)


def whole_process(library: str) -> Change:
    """A definition that libvirt 12.8 or later has written, and this version of its library."""
    tune = "<cputune><memorytune><node id='0' bandwidth='50'/></memorytune></cputune>"

    def change(server: Server) -> None:
        server.delete("usr/lib/x86_64-linux-gnu/libvirt.so.0.11003.0")
        server.write(f"usr/lib/x86_64-linux-gnu/libvirt.so.0.{library}", "")
        server.write("etc/libvirt/qemu/web.xml", DEFINITION.format("web", tune))

    return change


# -- state --------------------------------------------------------------------------------------------------------


def an_interrupted_run(server: Server) -> None:
    journal = Journal.begin(server.run, server.plan, str(server.resctrl))
    journal.taking(server.plan.steps[0])
    journal.keep()


def a_group_that_was_removed(server: Server) -> None:
    server.delete(f"sys/fs/resctrl/{GROUP}")
    server.write("sys/fs/resctrl/tasks", "".join(f"{tid}\n" for tid in (1, PID, *VCPUS)))


def a_guest_that_ended(server: Server) -> None:
    server.end_guest()


def room(free_bytes: int) -> Change:
    def change(server: Server) -> Examination:
        return msgspec.structs.replace(server.examined(), space=Space("/run", free_bytes, 1000))

    return change


def a_file_of_tomorrow(server: Server) -> None:
    tomorrow = time.time() + 86400
    os.utime(server.run / "ledger.json", (tomorrow, tomorrow))


# -- installation -------------------------------------------------------------------------------------------------


def a_hook_without_its_program(server: Server) -> None:
    server.write("etc/libvirt/hooks/qemu.d/cachetune", '/opt/cachetune/bin/cachetune-hook "$@"\n', 0o755)


def agent_unit(program: str) -> Change:
    def change(server: Server) -> None:
        server.write("usr/local/bin/cachetune", "#!/usr/bin/python3\n", 0o755)
        unit = server.write("etc/systemd/system/cachetune-agent.service", f"[Service]\nExecStart={program} agent\n")
        wants = server.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir()
        (wants / unit.name).symlink_to(unit)

    return change


def no_hook(server: Server) -> None:
    server.delete("etc/libvirt/hooks/qemu.d/cachetune")


def guests_d_for_everyone(server: Server) -> None:
    server.guests_d.chmod(0o777)


def audit_log(*lines: str) -> Change:
    def change(server: Server) -> None:
        server.write("sys/fs/selinux/enforce", "1")
        server.write("var/log/audit/audit.log", "".join(f"type=AVC msg=audit(1.0:1): {line}\n" for line in lines))

    return change


DENIED = 'avc:  denied  { write } for pid=900 comm="cachetune-hook" name="tasks" dev="resctrl"'
UNRELATED = 'avc:  denied  { read } for pid=901 comm="httpd" name="shadow"'


def mounted_by(fstab: str) -> Change:
    def change(server: Server) -> Examination:
        server.write("etc/fstab", fstab)
        return msgspec.structs.replace(server.examined(), kind="mounted")

    return change


SCENES: Mapping[str, Scene] = {
    "CT601": Scene(a_virtual_machine, also=frozenset({"CT621"})),
    "CT602": Scene(no_l3_control),
    "CT603": Scene(sub_numa_clusters),
    "CT604": Scene(ways_of_devices, also=frozenset({"CT662"})),
    "CT611": Scene(built_without_resctrl, also=frozenset({"CT621"})),
    "CT612": Scene(command_line("rdt=catl3"), command_line("rdt=l3cat,!mba")),
    "CT621": Scene(not_mounted),
    "CT622": Scene(an_empty_schemata),
    "CT623": Scene(mounted(read_only=True), mounted(read_only=False)),
    "CT624": Scene(a_request_for_code, also=frozenset({"CT653"})),
    "CT631": Scene(counters(left=0, assigned="_"), counters(left=28, assigned="e")),
    "CT632": Scene(limit("L3_MON/num_rmids", 2), limit("L3_MON/num_rmids", 64)),
    "CT633": Scene(limit("MB/num_closids", 2)),
    "CT641": Scene(groups_of_pqos, a_busy_group, also=frozenset({"CT633"})),
    "CT642": Scene(process("pqos", "-m", "all:0"), process("/usr/sbin/pqos", "-I", "-m", "all:0")),
    "CT643": Scene(crio_with_rdt, containerd_without_rdt),
    "CT644": Scene(process("/usr/bin/koordlet", "--v=4"), process("/usr/bin/cadvisor")),
    "CT645": Scene(a_new_group, a_busy_group, also=frozenset({"CT653"})),
    "CT646": Scene(ways_that_never_came_back),
    "CT651": Scene(an_invalid_file),
    "CT652": Scene(a_misspelled_file),
    "CT653": Scene(threads_in_the_default_group),
    "CT654": Scene(pinned_to("18-35"), pinned_to("0-35")),
    "CT655": Scene(whole_process("9000.0"), whole_process("12008.0")),
    "CT661": Scene(an_interrupted_run),
    "CT662": Scene(a_group_that_was_removed, also=frozenset({"CT646", "CT653"})),
    "CT663": Scene(a_guest_that_ended),
    "CT664": Scene(room(8 << 10), room(100 << 20)),
    "CT665": Scene(a_file_of_tomorrow),
    "CT671": Scene(a_hook_without_its_program, also=frozenset({"CT673"})),
    "CT672": Scene(agent_unit("/usr/bin/cachetune"), agent_unit("/usr/local/bin/cachetune")),
    "CT673": Scene(no_hook),
    "CT674": Scene(guests_d_for_everyone),
    "CT675": Scene(audit_log(DENIED), audit_log(UNRELATED)),
    "CT676": Scene(mounted_by("/dev/sda1 / ext4 defaults 0 1\n"), mounted_by(FSTAB)),
}
