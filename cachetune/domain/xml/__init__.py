"""The XML and schema layers of the checks.

``document`` parses untrusted bytes, and ``schema`` applies the RELAX NG and XSD engines. Where an engine refuses,
``diagnosis`` finds the exact fault with the ``grammar`` read from the schema. ``positions`` computes lines and columns.
What the values mean is checked in ``cachetune.domain``.
"""
