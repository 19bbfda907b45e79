"""The simulated kernel compared with real ones: the same operations on both, everything compared after each.

``operations`` is the list that every configuration goes through, ``sequences`` makes random ones.
``on_files`` carries them out in the virtual machine, ``on_simulator`` in memory, ``on_mount`` through the mount;
``record`` keeps what the kernels answered under tests/golden/conformance, where ``answers`` reads it.
docs/conformance.md has the results.
"""
