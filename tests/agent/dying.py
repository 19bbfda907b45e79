"""The command, except that it kills itself before the step numbered $DIE_BEFORE of the first plan."""

import os
import signal
import sys

from cachetune.apply.steps import StepRunner
from cachetune.cli.main import main
from cachetune.plan.steps import Step


def die_before(number: int) -> None:
    """Kill the process with SIGKILL before this step."""
    take, taken = StepRunner.take, []

    def take_or_die(runner: StepRunner, step: Step) -> None:
        taken.append(step)
        if len(taken) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        take(runner, step)

    StepRunner.take = take_or_die  # type: ignore[method-assign]


if __name__ == "__main__":
    die_before(int(os.environ["DIE_BEFORE"]))
    sys.argv[0] = "cachetune"
    main()
