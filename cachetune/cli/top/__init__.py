"""The live view: ``model`` computes rows from readings, ``frame`` draws them as lines, ``app`` shows them full screen.

``model`` and ``frame`` do no I/O and need no terminal. Only ``app`` imports textual, which is the extra ``top``.
"""
