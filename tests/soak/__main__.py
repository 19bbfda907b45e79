"""Half an hour of fresh random domains, operations, failures and deaths: ``python -m tests.soak [MINUTES]``.

Virtual machines run on one core; everything else runs on another. One seed determines everything; it is printed, and
CACHETUNE_SEED sets it. Every failure found here deserves its own test.
"""

import concurrent.futures
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.apply import random_runs
from tests.conformance.answers import differences
from tests.conformance.configurations import CONFIGURATIONS
from tests.conformance.on_simulator import Simulator
from tests.conformance.record import answer
from tests.hook import random_calls
from tests.kernel import vm
from tests.kernel.vm import VmError
from tests.waiting import StalledError

ROOT = Path(__file__).parents[2]
CASES = "29"  # on each of seven hosts
EFFORT = "15"  # times the examples of make test
OPERATIONS = 400  # of one boot: a minute, and several on a machine with much else to do
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable")
PROPERTIES = (
    *("tests/property", "tests/apply", "tests/fuzz", "tests/plan", "tests/conformance/test_mounted_kernel.py"),
    *("tests/sim/kernel/test_invariants.py", "tests/sim/test_documents.py", "tests/host/test_check.py"),
)
MUTANTS = 0.25  # of the time of what needs no virtual machine


def main() -> int:
    """1 if anything is not as it must be."""
    seconds = 60 * float(sys.argv[1] if len(sys.argv) > 1 else 30)
    seed = int(os.environ.setdefault("CACHETUNE_SEED", str(random.randrange(1 << 32))))  # noqa: S311 - no secret
    print(f"soak: CACHETUNE_SEED={seed}", flush=True)
    end = time.monotonic() + seconds
    with concurrent.futures.ProcessPoolExecutor(1) as aside:
        without = aside.submit(without_machines, seed, end)
        environment = {"CACHETUNE_REGISTERS_SEED": str(seed), "CACHETUNE_CASES": CASES, "CACHETUNE_DEATHS": "all"}
        fails = pytest("-m", "soak", "tests/kernel/test_registers.py", **environment)
        fails += pytest("-m", "soak", "tests/kernel/test_deaths.py", **environment)
        fails += conformance(seed, end)
        fails += without.result()
    print("soak: all is as it must be" if not fails else f"soak: {fails} of its parts found something", flush=True)
    return int(bool(fails))


def pytest(*words: str, **environment: str) -> int:
    """Run tests; 1 if any fails."""
    done = subprocess.run([*PYTEST, *words], cwd=ROOT, env=os.environ | environment, check=False)
    return int(done.returncode != 0)


def conformance(seed: int, end: float) -> int:
    """Random operations on one real kernel after another, as long as there is time; 1 if any is answered otherwise."""
    choice = [each for each in CONFIGURATIONS.values() if each.length and not vm.missing(each.kernel)]
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    boots = operations = found = 0
    while boots == 0 or time.monotonic() < end:
        configuration = dataclasses.replace(draw.choice(choice), parts=(), length=OPERATIONS)
        asked = configuration.operations(draw.randrange(1 << 32))
        try:
            record = answer(configuration, asked)
        except (VmError, StalledError) as error:
            print(f"conformance: {configuration.kernel}-{configuration.name}: {error}", flush=True)
            return 1
        lines = differences(record, *Simulator(configuration).answers(record.operations))
        boots, operations, found = boots + 1, operations + len(asked), found + len(lines)
        for line in lines[:20]:
            print(f"{configuration.kernel}-{configuration.name}: {line}", flush=True)
    print(f"conformance: {operations} operations in {boots} boots, {found} differences", flush=True)
    return int(bool(found))


def without_machines(seed: int, end: float) -> int:
    """How many of the parts that need no virtual machine found something."""
    found = pytest("-m", "not soak", *PROPERTIES, CACHETUNE_EFFORT=EFFORT)
    mutation(MUTANTS * (end - time.monotonic()))
    return found + simulated(seed, end)


def mutation(seconds: float) -> None:
    """Print how many mutants the tests notice; what they do not notice is a place to look, not a failure."""
    command = (sys.executable, "-m", "tests.soak.mutation", str(max(seconds, 0) / 60))
    subprocess.run(command, cwd=ROOT, check=False)


def simulated(seed: int, end: float) -> int:
    """Random runs and random calls of the hook on simulated hosts until then; 1 if a state was lost."""
    runs, calls = random_runs.Counts(), random_calls.Counts()
    episodes = lost = 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as directory:
            try:
                runs.add(random_runs.episode(f"{seed} {episodes}", Path(directory) / "runs"))
                calls.add(random_calls.episode(f"{seed} {episodes}", Path(directory) / "calls"))
            except AssertionError as error:
                lost += 1
                print(f"simulated hosts: {error}", flush=True)
        episodes += 1
    print(f"simulated hosts: {episodes} episodes of {runs} and {calls}, {lost} lost", flush=True)
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
