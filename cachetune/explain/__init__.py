"""What every rule means, why it matters and how to fix a violation: the texts behind ``cachetune explain``.

A rule is data next to the code that applies it: id, severity, summary, message, fix and samples. Its prose is here, in
``texts/AREA.toml``, where it can be as long as it needs to be and costs the other verbs nothing. ``catalog`` joins the
two, ``samples`` runs the samples, and ``search`` finds rules by words.
"""
