"""mkdir, rmdir and rename, with the answers of kernels 6.1 and 6.12.

Results are "ok" or the errno, then info/last_cmd_status. A path such as <255> is a name of that many bytes.
"""

# In sequence, starting with g1 alone.
MKDIR: list[tuple[str, str, str]] = [
    ("info", "EEXIST", "ok\n"),
    ("mon_groups", "EEXIST", "ok\n"),
    ("mon_data", "EEXIST", "ok\n"),
    ("g1", "EEXIST", "ok\n"),
    ("schemata", "EEXIST", "ok\n"),
    ("tasks", "EEXIST", "ok\n"),
    ("a\nb", "EINVAL", "ok\n"),
    ("a b", "ok", "ok\n"),
    (".x", "ok", "ok\n"),
    ("ä", "ok", "ok\n"),
    ("<255>", "ok", "ok\n"),
    ("<256>", "ok", "ok\n"),
    ("<2000>", "ok", "ok\n"),
    ("g1/sub", "EPERM", "ok\n"),
    ("g1/mon_groups/mon_groups", "EPERM", "ok\n"),
    ("g1/mon_groups/info", "ok", "ok\n"),
    ("g1/mon_groups/m", "ok", "ok\n"),
    ("g1/mon_groups/m/sub", "EPERM", "ok\n"),
    ("g1/mon_data/x", "EPERM", "ok\n"),
    ("info/x", "EPERM", "ok\n"),
    ("mon_data/x", "EPERM", "ok\n"),
    ("mon_groups/m", "ok", "ok\n"),
    ("mon_groups/m/mon_groups", "EPERM", "ok\n"),
    ("mon_groups/a\nb", "EINVAL", "ok\n"),
    ("missing/x", "ENOENT", "ok\n"),
    ("*", "ENOSPC", "Out of CLOSIDs\n"),
    ("-", "ENOSPC", "Out of CLOSIDs\n"),
]

# With g1, g1/mon_groups/m1 and m2, g2 and mon_groups/m0.
RMDIR: list[tuple[str, str, str]] = [
    (".", "EBUSY", "ok\n"),
    ("info", "EPERM", "ok\n"),
    ("info/L3", "EPERM", "ok\n"),
    ("mon_groups", "EPERM", "ok\n"),
    ("mon_data", "EPERM", "ok\n"),
    ("mon_data/mon_L3_00", "EPERM", "ok\n"),
    ("g1/mon_groups", "EPERM", "ok\n"),
    ("g1/mon_data", "EPERM", "ok\n"),
    ("g1/mon_data/mon_L3_00", "EPERM", "ok\n"),
    ("missing", "ENOENT", "ok\n"),
    ("schemata", "ENOTDIR", "ok\n"),
]

# Old and new path, whether m1 has CPU 0, then the answers of 6.1 and of 6.12 with the groups and the place of A.
RENAME: list[tuple[str, str, bool, tuple[str, str, str], tuple[str, str, str]]] = [
    (
        "g1",
        "g9",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("EPERM", "Source must be a MON group\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "g1",
        "g2",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("EPERM", "Source must be a MON group\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "g1",
        "g2/mon_groups/g1",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("EPERM", "Source must be a MON group\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "info",
        "g5",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ENOENT", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "mon_groups",
        "mg",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("EPERM", "Source must be a MON group\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "g1/mon_groups/m1",
        "g1/mon_groups/m9",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g1/mon_groups/m9 g2 mon_groups/m0; A in g1/mon_groups/m9, g1"),
    ),
    (
        "g1/mon_groups/m1",
        "g2/mon_groups/m1",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g2 g2/mon_groups/m1 mon_groups/m0; A in g2/mon_groups/m1, g2"),
    ),
    (
        "g1/mon_groups/m1",
        "g2/mon_groups/mx",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g2 g2/mon_groups/mx mon_groups/m0; A in g2/mon_groups/mx, g2"),
    ),
    (
        "g1/mon_groups/m1",
        "g2/mon_groups/m1",
        True,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        (
            "EPERM",
            "Cannot move a MON group that monitors CPUs\n",
            ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1",
        ),
    ),
    (
        "g1/mon_groups/m1",
        "mon_groups/m1",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g2 mon_groups/m0 mon_groups/m1; A in mon_groups/m1, ."),
    ),
    (
        "g1/mon_groups/m1",
        "mon_groups/m0",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("EEXIST", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
    ),
    (
        "g1/mon_groups/m1",
        "g1/mon_groups/a\nb",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g1/mon_groups/a\nb g2 mon_groups/m0; A in g1/mon_groups/a\nb, g1"),
    ),
    (
        "g1/mon_groups/m1",
        "m1",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        (
            "EPERM",
            "Destination must be a mon_groups subdirectory\n",
            ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1",
        ),
    ),
    (
        "g1/mon_groups/m1",
        "g2/m1",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        (
            "EPERM",
            "Destination must be a mon_groups subdirectory\n",
            ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1",
        ),
    ),
    (
        "mon_groups/m0",
        "mon_groups/mx",
        False,
        ("EPERM", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/m0; A in g1/mon_groups/m1, g1"),
        ("ok", "ok\n", ". g1 g1/mon_groups/m1 g2 mon_groups/mx; A in g1/mon_groups/m1, g1"),
    ),
]
