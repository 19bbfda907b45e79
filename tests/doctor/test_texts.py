"""What single checks say, beyond being broken or not: the cases that a person must be able to distinguish."""

from pathlib import Path

import msgspec

from cachetune.cbm import Cbm, Masks
from cachetune.doctor.examination import Unknown
from cachetune.doctor.model import CheckResult
from tests.doctor import scenes
from tests.doctor.servers import CPUINFO, FLAGS, FSTAB, MOUNTS, TUNING, Server, results_of


def after(change: scenes.Change, root: Path, check: str) -> CheckResult:
    server = Server(root)
    return results_of(change(server) or server.examined())[check]


def test_a_virtual_machine_and_a_processor_without_flags_are_distinguished(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.without_resctrl()
    server.write("proc/cpuinfo", CPUINFO.format(flags="sse2"))
    assert server.results()["CT601"].text.startswith("Intel(R) Xeon(R) Gold 6140 CPU @ 2.30GHz has no cache allocation")
    server.write("proc/cpuinfo", CPUINFO.format(flags="hypervisor"))
    assert server.results()["CT601"].text.startswith("this is a virtual machine")


def test_a_virtual_machine_whose_processor_has_the_flags_is_fine(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("proc/cpuinfo", CPUINFO.format(flags=f"hypervisor {FLAGS}"))
    assert server.results()["CT601"].status == "ok"


def test_missing_l3_names_the_option_that_switches_it_on(tmp_path: Path) -> None:
    result = after(scenes.no_l3_control, tmp_path, "CT602")
    assert result.text == "the processor has cat_l3, but resctrl has no L3"
    assert result.fix == "boot with rdt=l3cat: the kernel leaves it off on some processors"


def test_l3_that_the_command_line_switches_off_is_not_blamed_on_the_kernel(tmp_path: Path) -> None:
    server = Server(tmp_path)
    scenes.no_l3_control(server)
    server.write("proc/cmdline", "quiet rdt=!l3cat,mba\n")
    assert server.results()["CT602"].fix == "remove !l3cat from rdt= and reboot"


def test_mounting_uses_what_the_machine_is_configured_with(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.unmount()
    assert server.results()["CT621"].command == "mount /sys/fs/resctrl"
    server.write("etc/fstab", "")
    assert server.results()["CT621"].command == "mount -t resctrl resctrl /sys/fs/resctrl"
    unit = server.write("etc/systemd/system/sys-fs-resctrl.mount", "[Mount]\nWhat=resctrl\n")
    (server.root / "etc/systemd/system/multi-user.target.wants").mkdir()
    (server.root / "etc/systemd/system/multi-user.target.wants" / unit.name).symlink_to(unit)
    assert server.results()["CT621"].command == "systemctl start sys-fs-resctrl.mount"
    assert (
        "sys-fs-resctrl.mount mounts resctrl"
        in results_of(msgspec.structs.replace(server.examined(), kind="mounted"))["CT676"].text
    )


def test_resctrl_that_is_mounted_elsewhere_is_found(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.unmount()
    server.write("proc/mounts", MOUNTS.replace("/sys/fs/resctrl", "/mnt/res\\040ctrl"))
    result = server.results()["CT621"]
    assert result.text == "resctrl is mounted at /mnt/res ctrl, not at /sys/fs/resctrl"
    assert not result.fixable


def test_a_copy_without_the_tree_of_a_mounted_resctrl_is_no_failure(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.delete("sys/fs/resctrl")
    assert server.results()["CT621"].status == "info"


def test_a_percentage_on_a_host_in_mib_per_second_is_recognized(tmp_path: Path) -> None:
    server = Server(tmp_path)
    node = "<cputune><memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune></cputune>"
    server.write("etc/cachetune/guests.d/web.xml", node)
    seen = server.examined()
    assert not isinstance(seen.host, Unknown)
    (mb,) = seen.host.bandwidths
    in_mbps = msgspec.structs.replace(seen.host, bandwidths=(msgspec.structs.replace(mb, unit="MiB/s"),))
    result = results_of(msgspec.structs.replace(seen, host=in_mbps))["CT624"]
    assert result.text == "web: bandwidth 50 looks like percent, but with mba_MBps it is in MiB/s"
    server.write("etc/cachetune/guests.d/web.xml", node.replace("50", "5000"))
    assert (
        server.results()["CT624"].text == "web: bandwidth 5000 looks like MiB/s, but without mba_MBps it is in percent"
    )


def test_rmids_in_limbo_are_recognized_by_the_last_mkdir(tmp_path: Path) -> None:
    seen = msgspec.structs.replace(Server(tmp_path).examined(), last_status="Out of RMIDs")
    result = results_of(seen)["CT632"]
    assert result.status == "warn"
    assert "142 of 144 should be free: they are in limbo" in result.text
    assert result.command.startswith("echo ")
    assert result.command.endswith(" > /sys/fs/resctrl/info/L3_MON/max_threshold_occupancy")


def test_empty_monitor_groups_that_hold_most_rmids_are_named_before_all_are_used(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for number in range(4):
        name = f"sys/fs/resctrl/mon_groups/cadvisor-{number}"
        server.write(f"{name}/tasks", "")
        server.write(f"{name}/cpus_list", "\n")
    server.write("sys/fs/resctrl/info/L3_MON/num_rmids", "9\n")
    result = server.results()["CT632"]
    assert (result.status, result.text) == ("warn", "3 of 9 RMIDs are left; empty monitor groups hold 4 of cadvisor")
    server.write("sys/fs/resctrl/info/L3_MON/num_rmids", "16\n")
    assert server.results()["CT632"].status == "ok"


def test_counters_that_are_used_up_on_one_cache_are_not_called_used_up_on_all(tmp_path: Path) -> None:
    server = Server(tmp_path)
    scenes.counters(left=1, assigned="e")(server)
    server.write("sys/fs/resctrl/info/L3_MON/available_mbm_cntrs", "0=1;1=0\n")
    assert server.results()["CT631"].text == (
        "bandwidth counters: 1 of 32 left on cache 0, 0 of 32 left on cache 1; a new group reads Unassigned where none "
        "is left"
    )


def test_a_control_group_whose_threads_are_all_in_monitor_groups_needs_no_counter(tmp_path: Path) -> None:
    server = Server(tmp_path)
    scenes.counters(left=0, assigned="_")(server)
    group = f"sys/fs/resctrl/{scenes.GROUP}"
    for number, tid in enumerate(scenes.VCPUS):
        monitor = f"{group}/mon_groups/cachetune-web-vcpus_{number}"
        server.write(f"{monitor}/tasks", f"{tid}\n")
        server.write(f"{monitor}/mbm_L3_assignments", "mbm_total_bytes:0=e;1=e\n")
    assert "reads Unassigned where none is left" in server.results()["CT631"].text
    server.write(f"{group}/mon_groups/cachetune-web-vcpus_0/tasks", "")
    assert server.results()["CT631"].text == "no bandwidth counter is assigned to cachetune-web-vcpus_0-1; 0 of 32 left"


def test_the_command_for_empty_groups_removes_exactly_those(tmp_path: Path) -> None:
    result = after(scenes.groups_of_pqos, tmp_path, "CT641")
    assert result.text == "empty groups hold 6 of 8 CLOSIDs: 6 of pqos"
    assert result.command == "cd /sys/fs/resctrl && rmdir COS1 COS2 COS3 COS4 COS5 COS6"
    assert not result.fixable


def test_empty_groups_of_container_classes_are_only_mentioned(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.group("BestEffort", scenes.OTHERS_WAYS)
    assert server.results()["CT641"].status == "info"


def test_shared_ways_name_both_groups_the_cache_and_the_ways(tmp_path: Path) -> None:
    result = after(scenes.a_new_group, tmp_path, "CT645")
    assert result.text == "cachetune-web-vcpus_0-1 shares ways 3 of L3 cache 0 with test (unknown)"


def test_ways_that_the_default_group_has_taken_back_are_not_blamed_on_a_program(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("sys/fs/resctrl/schemata", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n")
    result = server.results()["CT645"]
    assert result.text == "cachetune-web-vcpus_0-1 shares ways 3 of L3 cache 0 with the default group"
    assert result.fix.startswith("apply the guest again with --shrink-default, or ")


def test_idle_ways_are_returned_by_the_command(tmp_path: Path) -> None:
    result = after(scenes.ways_that_never_came_back, tmp_path, "CT646")
    assert result.command == "cachetune recover"
    assert result.fixable
    assert "ways of L3 cache 0 that no group has" in result.text


def test_idle_ways_are_noticed_while_a_guest_has_others(tmp_path: Path) -> None:
    server = Server(tmp_path)
    shrunk = server.ledger.shrunk
    assert shrunk
    wider = msgspec.structs.replace(shrunk, after=Masks({"L3": {0: Cbm(0x7F0)}}))
    server.change_ledger(msgspec.structs.replace(server.ledger, shrunk=wider))
    server.write("sys/fs/resctrl/schemata", "    MB:0=100;1=100\n    L3:0=7f0;1=7ff\n")
    result = server.results()["CT646"]
    assert result.status == "warn"
    assert "ways of L3 cache 0 that no group has" in result.text


def test_free_ways_are_mentioned_with_their_size(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("sys/fs/resctrl/schemata", "    MB:0=100;1=100\n    L3:0=7f0;1=7ff\n")
    assert server.results()["CT646"].text == "free ways, which no group uses: L3 cache 0: 2 ways (4.5 MiB)"


def test_drift_names_the_command_with_the_file(tmp_path: Path) -> None:
    result = after(scenes.threads_in_the_default_group, tmp_path, "CT653")
    assert result.command == f"cachetune apply --guest web {tmp_path}/etc/cachetune/guests.d/web.xml"


def test_pinning_names_the_caches_that_the_cpus_have(tmp_path: Path) -> None:
    result = after(scenes.pinned_to("18-35"), tmp_path, "CT654")
    assert result.text == ("web: vCPUs 0-1 request L3 cache 0 but may run only on CPUs 18-35, which have cache 1")


def test_a_guest_that_may_also_run_elsewhere_is_not_misplaced(tmp_path: Path) -> None:
    assert after(scenes.pinned_to("17-35"), tmp_path, "CT654").status == "ok"


def test_a_tuning_file_of_a_guest_that_is_defined_but_off_is_fine(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("etc/cachetune/guests.d/db.xml", TUNING)
    server.write("etc/libvirt/qemu/db.xml", "<domain type='kvm'><name>db</name><vcpu>2</vcpu></domain>")
    assert server.results()["CT652"].status == "ok"


def test_without_libvirt_a_guest_that_does_not_run_is_only_mentioned(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("etc/cachetune/guests.d/db.xml", TUNING)
    server.delete("usr/lib/x86_64-linux-gnu")
    server.delete("etc/libvirt/qemu")
    assert server.results()["CT652"].status == "info"


def test_old_libvirt_and_a_unit_that_it_cannot_express_is_mentioned(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.delete("usr/lib/x86_64-linux-gnu")
    server.write("usr/lib64/libvirt.so.0.9000.0", "")
    seen = server.examined()
    assert not isinstance(seen.host, Unknown)
    (mb,) = seen.host.bandwidths
    amd = msgspec.structs.replace(seen.host, bandwidths=(msgspec.structs.replace(mb, unit="1/8 GB/s"),))
    result = results_of(msgspec.structs.replace(seen, host=amd))["CT655"]
    assert result.text == "libvirt 9.0.0 cannot allocate bandwidth above 100 (here in 1/8 GB/s)"


def test_a_file_system_that_is_full_or_read_only_or_out_of_inodes_fails(tmp_path: Path) -> None:
    seen = Server(tmp_path).examined()
    assert not isinstance(seen.space, Unknown)
    for change in ({"free_bytes": 100}, {"free_files": 2}, {"is_read_only": True}):
        space = msgspec.structs.replace(seen.space, **change)
        assert results_of(msgspec.structs.replace(seen, space=space))["CT664"].status == "fail"


def test_nothing_that_mounts_at_boot_is_a_problem_only_where_guests_rely_on_it(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("etc/fstab", FSTAB.splitlines(keepends=True)[0])
    assert server.results()["CT676"].status == "warn"
    server.delete("etc/cachetune/guests.d/web.xml")
    server.delete("etc/libvirt/hooks")
    assert server.results()["CT676"].status == "info"
