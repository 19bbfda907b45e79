"""The doctor: examine a whole host once, then judge it with checks that are data. Only ``repairs`` changes anything.

``examine`` collects an ``Examination`` (``collect`` has one module for each area), a frozen value in which everything
is optional: what cannot be read is ``Unknown``, with the reason. ``checks`` are pure functions from an Examination to a
``Verdict``, each with its rule (CT6xx). ``diagnose`` puts the verdicts into the document of ``cachetune doctor``.
"""
