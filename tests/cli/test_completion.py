"""What shells complete."""

from click.shell_completion import ShellComplete

from cachetune.cli.main import command


def completions(*words: str) -> list[str]:
    """The completions of the last word."""
    shell = ShellComplete(command, {}, "cachetune", "_CACHETUNE_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_the_options_of_a_verb_are_completed() -> None:
    assert completions("monitor", "--i") == ["--interval"]


def test_the_kernels_events_are_completed() -> None:
    assert completions("monitor", "--event", "mbm_") == ["mbm_total_bytes", "mbm_local_bytes"]
    assert completions("monitor", "--event", "x") == []
