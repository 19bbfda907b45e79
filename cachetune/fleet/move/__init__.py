"""Moving a guest: what its request on host A becomes on host B. In: a domain and two hosts; out: a ``Translation``.

``translate`` does it; ``caches`` and ``bandwidth`` have the values, ``places`` the ids. Whether B has room for the
result is for ``cachetune.fleet.fit``.
"""
