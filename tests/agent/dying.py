"""The command, but that it kills itself before the N-th step of the first plan: ``python -m … N WORDS``."""

import os
import signal
import sys

from cachetune.apply.steps import StepRunner
from cachetune.cli.main import main
from cachetune.plan.steps import Step


def die_before(number: int) -> None:
    """Let the process die as if the power of SIGKILL had met it there."""
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
