"""Compare the simulated kernel with real ones: the same operations on both, with everything compared after each.

``operations`` is the list that runs in every configuration, ``sequences`` generates random operations. ``on_files``
runs them in the virtual machine, ``on_simulator`` in memory, ``on_mount`` through the mount. ``record`` stores the
answers of the kernels in tests/golden/conformance, and ``answers`` reads them. docs/explanation/conformance.md has the
results.
"""
