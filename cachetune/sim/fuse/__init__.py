"""A simulated resctrl as a mounted file system, through FUSE.

``filesystem`` implements the FUSE operations on a SimulatedResctrl, ``serve`` mounts them and answers requests,
``threads`` makes this machine's threads the tasks, and ``mounts`` lists and ends mounts. FUSE (mfusepy and libfuse) is
only imported in ``serve``, when something is mounted.
"""
