"""The command ``cachetune``: one thin module per verb. Data goes to stdout, messages to stderr."""
