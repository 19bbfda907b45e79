"""``python -m cachetune`` is the command ``cachetune``."""

from cachetune.cli.main import main

main()
