"""--interval: how often counters may be read."""

import click
import pytest
from click.testing import CliRunner

from cachetune.cli import options
from cachetune.errors import InputError


@click.command()
@options.interval_option("How often to read.", default=1.0)
def read(*, interval: float, force: bool) -> None:
    """Print the interval that was accepted."""
    options.check_interval(interval, force=force)
    click.echo(interval)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("", 1.0),
        ("--interval 0.5", 0.5),
        ("--interval=0.1", 0.1),
        ("--interval 0.01 --force", 0.01),
        ("--interval 60", 60),
    ],
)
def test_an_interval_is_a_number_of_seconds(words: str, seconds: float) -> None:
    done = CliRunner().invoke(read, words.split(), catch_exceptions=False)
    assert float(done.stdout) == seconds


@pytest.mark.parametrize(
    "value", ["0", "-1", "nan", "inf", "-inf", "1e9", "1e-9", "", "1s", "0x1", "1" * 400, "1_0e5_0"]
)
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_an_interval_that_makes_no_sense_is_a_usage_error(value: str, force: tuple[str, ...]) -> None:
    done = CliRunner().invoke(read, [f"--interval={value}", *force])
    assert done.exit_code == 2
    assert "Invalid value for '--interval': " in done.stderr


def test_an_interval_under_a_tenth_of_a_second_needs_force() -> None:
    with pytest.raises(InputError, match=r"--interval 0\.05 is under 0\.1 s") as caught:
        CliRunner().invoke(read, ["--interval", "0.05"], catch_exceptions=False)
    assert "--force" in caught.value.hint
