"""Completion in bash, zsh and fish: what a shell offers at TAB, and the script with which it gets that.

The script (``scripts/``) runs ``cachetune`` with the variable ``_CACHETUNE_COMPLETE``, and click's completion finds the
option or argument at the cursor. ``declarations`` imports a verb without the program behind it, ``values`` knows what
each kind of value can be, ``running`` looks at this host for at most 200 ms, and ``shells`` speaks with the scripts.
"""
