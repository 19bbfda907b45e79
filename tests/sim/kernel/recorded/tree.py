"""Names, permissions and contents of the files, the same in kernels 6.1 and 6.12.

Counters and the default group's tasks are left out. A directory ends with "/".
"""

# Mounted without options.
PLAIN: list[tuple[str, str, str]] = [
    (".", "555", "directory"),
    ("cpus", "644", "3\n"),
    ("cpus_list", "644", "0-1\n"),
    ("info/", "555", "directory"),
    ("info/L3/", "555", "directory"),
    ("info/L3/bit_usage", "444", "0=XXSSSSSSSSS;1=XXSSSSSSSSS\n"),
    ("info/L3/cbm_mask", "444", "7ff\n"),
    ("info/L3/min_cbm_bits", "444", "1\n"),
    ("info/L3/num_closids", "444", "16\n"),
    ("info/L3/shareable_bits", "444", "600\n"),
    ("info/L3_MON/", "555", "directory"),
    ("info/L3_MON/max_threshold_occupancy", "644", "262144\n"),
    ("info/L3_MON/mon_features", "444", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
    ("info/L3_MON/num_rmids", "444", "64\n"),
    ("info/MB/", "555", "directory"),
    ("info/MB/bandwidth_gran", "444", "10\n"),
    ("info/MB/delay_linear", "444", "1\n"),
    ("info/MB/min_bandwidth", "444", "10\n"),
    ("info/MB/num_closids", "444", "8\n"),
    ("info/MB/thread_throttle_mode", "444", "max\n"),
    ("info/last_cmd_status", "444", "ok\n"),
    ("mode", "644", "shareable\n"),
    ("mon_data/", "555", "directory"),
    ("mon_data/mon_L3_00/", "555", "directory"),
    ("mon_data/mon_L3_01/", "555", "directory"),
    ("mon_groups/", "555", "directory"),
    ("schemata", "644", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n"),
    ("size", "444", "    MB:0=100;1=100\n    L3:0=16777211;1=16777211\n"),
]

# g1 and mon_groups/m1, just created.
NEW_GROUPS: list[tuple[str, str, str]] = [
    ("g1/", "755", "directory"),
    ("g1/cpus", "644", "0\n"),
    ("g1/cpus_list", "644", "\n"),
    ("g1/mode", "644", "shareable\n"),
    ("g1/mon_data/", "755", "directory"),
    ("g1/mon_data/mon_L3_00/", "755", "directory"),
    ("g1/mon_data/mon_L3_01/", "755", "directory"),
    ("g1/mon_groups/", "755", "directory"),
    ("g1/schemata", "644", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n"),
    ("g1/size", "444", "    MB:0=100;1=100\n    L3:0=16777211;1=16777211\n"),
    ("g1/tasks", "644", ""),
    ("mon_groups/m1/cpus", "644", "0\n"),
    ("mon_groups/m1/cpus_list", "644", "\n"),
    ("mon_groups/m1/mon_data/", "755", "directory"),
    ("mon_groups/m1/mon_data/mon_L3_00/", "755", "directory"),
    ("mon_groups/m1/mon_data/mon_L3_01/", "755", "directory"),
    ("mon_groups/m1/tasks", "644", ""),
]

# Mounted with cdp.
CDP: list[tuple[str, str, str]] = [
    (".", "555", "directory"),
    ("cpus", "644", "3\n"),
    ("cpus_list", "644", "0-1\n"),
    ("info/", "555", "directory"),
    ("info/L3CODE/", "555", "directory"),
    ("info/L3CODE/bit_usage", "444", "0=XXSSSSSSSSS;1=XXSSSSSSSSS\n"),
    ("info/L3CODE/cbm_mask", "444", "7ff\n"),
    ("info/L3CODE/min_cbm_bits", "444", "1\n"),
    ("info/L3CODE/num_closids", "444", "8\n"),
    ("info/L3CODE/shareable_bits", "444", "600\n"),
    ("info/L3DATA/", "555", "directory"),
    ("info/L3DATA/bit_usage", "444", "0=XXSSSSSSSSS;1=XXSSSSSSSSS\n"),
    ("info/L3DATA/cbm_mask", "444", "7ff\n"),
    ("info/L3DATA/min_cbm_bits", "444", "1\n"),
    ("info/L3DATA/num_closids", "444", "8\n"),
    ("info/L3DATA/shareable_bits", "444", "600\n"),
    ("info/L3_MON/", "555", "directory"),
    ("info/L3_MON/max_threshold_occupancy", "644", "262144\n"),
    ("info/L3_MON/mon_features", "444", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
    ("info/L3_MON/num_rmids", "444", "64\n"),
    ("info/MB/", "555", "directory"),
    ("info/MB/bandwidth_gran", "444", "10\n"),
    ("info/MB/delay_linear", "444", "1\n"),
    ("info/MB/min_bandwidth", "444", "10\n"),
    ("info/MB/num_closids", "444", "8\n"),
    ("info/MB/thread_throttle_mode", "444", "max\n"),
    ("info/last_cmd_status", "444", "ok\n"),
    ("mode", "644", "shareable\n"),
    ("mon_groups/", "555", "directory"),
    ("schemata", "644", "    MB:0=100;1=100\nL3DATA:0=7ff;1=7ff\nL3CODE:0=7ff;1=7ff\n"),
    ("size", "444", "    MB:0=100;1=100\nL3DATA:0=16777211;1=16777211\nL3CODE:0=16777211;1=16777211\n"),
]

# g1 with cdp.
CDP_NEW_GROUP: list[tuple[str, str, str]] = [
    ("g1/", "755", "directory"),
    ("g1/cpus", "644", "0\n"),
    ("g1/cpus_list", "644", "\n"),
    ("g1/mode", "644", "shareable\n"),
    ("g1/mon_groups/", "755", "directory"),
    ("g1/schemata", "644", "    MB:0=100;1=100\nL3DATA:0=7ff;1=7ff\nL3CODE:0=7ff;1=7ff\n"),
    ("g1/size", "444", "    MB:0=100;1=100\nL3DATA:0=16777211;1=16777211\nL3CODE:0=16777211;1=16777211\n"),
    ("g1/tasks", "644", ""),
]

# Additional files in 6.12 mounted with debug.
DEBUG: list[tuple[str, str, str]] = [
    ("ctrl_hw_id", "444", "0\n"),
    ("mon_hw_id", "444", "0\n"),
    ("g1/ctrl_hw_id", "444", "1\n"),
    ("g1/mon_hw_id", "444", "1\n"),
    ("mon_groups/m1/mon_hw_id", "444", "2\n"),
]
