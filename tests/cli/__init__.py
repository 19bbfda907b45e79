"""Tests of the commands, run in this process as the shell would run them."""
