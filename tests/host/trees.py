"""Small resctrl and sysfs trees, as ordinary files: the hosts of libvirt's own tests and some of ours."""

from collections.abc import Mapping
from pathlib import Path

Tree = dict[str, str]


def make(root: Path, tree: Mapping[str, str]) -> Path:
    """Write the files; a path that ends in "/" is an empty directory."""
    for name, text in tree.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n" if text else "")
    return root


def below(prefix: str, tree: Mapping[str, str]) -> Tree:
    return {f"{prefix}/{name}": text for name, text in tree.items()}


def cache(mask: str, closids: int, least: int = 1, shareable: str = "0", **more: str) -> Tree:
    return {
        "cbm_mask": mask,
        "min_cbm_bits": f"{least}",
        "num_closids": f"{closids}",
        "shareable_bits": shareable,
        **more,
    }


def bandwidth(least: int = 10, step: int = 10, linear: int = 1, closids: int = 8) -> Tree:
    return {
        "min_bandwidth": f"{least}",
        "bandwidth_gran": f"{step}",
        "delay_linear": f"{linear}",
        "num_closids": f"{closids}",
    }


def monitoring(*features: str, rmids: int = 144) -> Tree:
    return {"mon_features": "\n".join(features), "num_rmids": f"{rmids}", "max_threshold_occupancy": "67584"}


ALL_EVENTS = ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")


def group(schemata: str = "", tasks: str = "", mode: str = "shareable", cpus_list: str = "") -> Tree:
    return {"schemata": schemata, "tasks": tasks, "mode": mode, "cpus_list": cpus_list}


def index(level: int, cache_id: int, size: str, shared: str, kind: str = "Unified") -> Tree:
    """One cache in sysfs."""
    return {
        "level": f"{level}",
        "id": f"{cache_id}",
        "size": size,
        "type": kind,
        "shared_cpu_list": shared,
    }


def cpu(number: int, *indexes: Tree) -> Tree:
    return {
        f"devices/system/cpu/cpu{number}/cache/index{n}/{name}": text
        for n, one in enumerate(indexes)
        for name, text in one.items()
    }


LIBVIRT = {
    "resctrl": {
        **below("info/L3", cache("fffff", 4, least=2)),
        **below("info/MB", bandwidth()),
        **below("info/L3_MON", monitoring("llc_occupancy")),
        **group("L3:0=1ff00;1=1ff0f"),
        **below("manualres", group("L3:0=e0000;1=e0000")),
    },
    "resctrl-cdp": {
        **below("info/L3CODE", cache("fffff", 8)),
        **below("info/L3DATA", cache("fffff", 8)),
        **group("L3DATA:0=fffff;1=fc000\nL3CODE:0=ff003;1=f00ff"),
        **below("manualres", group("L3DATA:0=c0000;1=c0000\nL3CODE:0=30000;1=30000")),
    },
    "resctrl-skx": {
        **below("info/L3", cache("7ff", 16)),
        **group("    L3:0=0f0"),
        **below("empty", group("")),
    },
    "resctrl-skx-twocaches": {
        **below("info/L3", cache("7ff", 16)),
        **group("    L3:0=0f0;1=7ff"),
        **below("some_reservation", group("    L3:0=70e;1=3ff")),
    },
    "resctrl-amd": {
        **below("info/L3", cache("ffff", 16, least=0, sparse_masks="1")),
        **below("info/MB", bandwidth(0, 1, 0, 16)),
        **below("info/SMBA", bandwidth(0, 1, 0, 16)),
        **below(
            "info/L3_MON",
            monitoring(*ALL_EVENTS, "mbm_total_bytes_config", "mbm_local_bytes_config", rmids=256),
        ),
        **group(
            "\n".join((
                "    MB:" + ";".join(f"{i}=2048" for i in range(0, 16, 2)),
                "  SMBA:" + ";".join(f"{i}=2048" for i in range(0, 16, 2)),
                "    L3:" + ";".join(f"{i}=ffff" for i in range(0, 16, 2)),
            ))
        ),
    },
    "resctrl-mba_MBps": {
        **below("info/L2", cache("ffff", 8)),
        **below("info/L3", cache("7fff", 15, shareable="6000")),
        **below("info/MB", bandwidth(10, 10, 1, 15)),
        **below("info/L3_MON", monitoring(*ALL_EVENTS)),
        **group(
            "\n".join((
                "    MB:0=4294967295;1=4294967295",
                "    L2:" + ";".join(f"{i}=ffff" for i in [*range(12), *range(64, 76)]),
                "    L3:0=7fff;1=7fff",
            ))
        ),
    },
    "resctrl-cmt": {
        **below("info/L3_MON", monitoring("llc_occupancy", rmids=176)),
        "tasks": "1\n2",
        "cpus_list": "0-1",
        "mode": "shareable",
    },
}  # fmt: skip


def sized(schemata_size: str) -> Tree:
    """A two-cache Skylake with a ``size`` file, two guests, a monitor of each kind, and a group with CPUs."""
    return {
        **below("info/L3", cache("7ff", 16, shareable="600")),
        **below("info/MB", bandwidth()),
        **below("info/L3_MON", monitoring(*ALL_EVENTS)),
        "info/last_cmd_status": "ok",
        "size": schemata_size,
        **group("    MB:0=100;1=100\n    L3:0=7f0;1=7ff", "1\n2\n3", cpus_list="0-3"),
        **below("mon_groups/cadvisor-a", {"tasks": "2", "cpus_list": ""}),
        **below("cachetune-web-vcpus_0-1", group("    MB:0= 50;1=100\n    L3:0=003;1=7ff", "101\n102")),
        **below("cachetune-web-vcpus_0-1/mon_groups/cachetune-web-vcpus_0", {"tasks": "101", "cpus_list": ""}),
        **below("qemu-3-db-vcpus_0", group("    MB:0=100;1=100\n    L3:0=00c;1=7ff", "201", "exclusive", "2-3")),
    }


SKYLAKE = sized("    MB:0=100;1=100\n    L3:0=16515072;1=25952256")
