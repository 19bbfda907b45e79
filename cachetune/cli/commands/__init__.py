"""One module per verb: its options, one service call, one renderer from ``cli/show``.

``cli/main.py`` lists the verbs and imports a module when its verb is called; the module's ``command`` is the verb.
``cli/planning.py`` and ``cli/changing.py`` have what several verbs share.
"""
