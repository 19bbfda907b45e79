"""The manual pages: one for each verb from its ``--help``, and pages of prose from Markdown. ``make man`` writes them.

``roff`` is the language of pages, ``verbs`` and ``prose`` make a page of a verb and of a file, ``write`` writes all.
"""
