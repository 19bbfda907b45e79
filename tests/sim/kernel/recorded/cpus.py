"""Writes to cpus and cpus_list, in sequence, with the answers that kernels 6.1 and 6.12 have in common.

Each row: the file, the text, "ok" or the errno, info/last_cmd_status, and the lists of the default group, g1, g2, g1's
m1 and g1's m2 afterwards.
"""

WRITES: list[tuple[str, str, str, str, str]] = [
    ("g1/cpus_list", "0\n", "ok", "ok\n", "1 / 0 / - / - / -"),
    ("g1/cpus_list", "0-1\n", "ok", "ok\n", "- / 0-1 / - / - / -"),
    ("g1/cpus", "1\n", "ok", "ok\n", "1 / 0 / - / - / -"),
    ("g1/cpus", "3\n", "ok", "ok\n", "- / 0-1 / - / - / -"),
    ("g2/cpus_list", "1\n", "ok", "ok\n", "- / 0 / 1 / - / -"),
    ("g1/mon_groups/m1/cpus_list", "0\n", "ok", "ok\n", "- / 0 / 1 / 0 / -"),
    ("g1/mon_groups/m2/cpus_list", "0\n", "ok", "ok\n", "- / 0 / 1 / - / 0"),
    (
        "g1/mon_groups/m1/cpus_list",
        "1\n",
        "EINVAL",
        "Can only add CPUs to mongroup that belong to parent\n",
        "- / 0 / 1 / - / 0",
    ),
    ("g1/cpus_list", "\n", "ok", "ok\n", "0 / - / 1 / - / -"),
    ("g1/cpus_list", "", "ok", "ok\n", "0 / - / 1 / - / -"),
    ("g1/cpus_list", "0,1\n", "ok", "ok\n", "- / 0-1 / - / - / -"),
    ("g1/cpus_list", "7\n", "ERANGE", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("g1/cpus", "ff\n", "EOVERFLOW", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("g1/cpus_list", "x\n", "EINVAL", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("g1/cpus_list", "1-0\n", "EINVAL", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("g1/cpus", "0x1\n", "EINVAL", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("g1/cpus", "zz\n", "EINVAL", "Bad CPU list/mask\n", "- / 0-1 / - / - / -"),
    ("cpus_list", "0\n", "ok", "ok\n", "0 / 1 / - / - / -"),
    ("cpus_list", "0-1\n", "ok", "ok\n", "0-1 / - / - / - / -"),
    ("cpus_list", "\n", "EINVAL", "Can't drop CPUs from default group\n", "0-1 / - / - / - / -"),
    ("g1/cpus_list", "0", "ok", "ok\n", "1 / 0 / - / - / -"),
    ("g1/cpus_list", " 0 \n", "ok", "ok\n", "1 / 0 / - / - / -"),
    ("g1/cpus", "00000003\n", "ok", "ok\n", "- / 0-1 / - / - / -"),
    ("g1/cpus", "0\n", "ok", "ok\n", "0-1 / - / - / - / -"),
]
