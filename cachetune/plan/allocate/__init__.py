"""Find out what fits on a host, as masks: which steps lead there is decided in ``plan.diff``.

``capacity`` turns sizes into ways and reports what the host lacks, ``occupancy`` is who has which ways, ``place``
chooses the ways of one cache as libvirt does, ``search`` finds a layout where that finds none, and ``target`` applies
them to all caches for a plan.
"""
