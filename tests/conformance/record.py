"""Record the answers of real kernels: ``python -m tests.conformance.record [KERNEL-NAME...]``.

Each configuration is one boot. Prints the differences from earlier records and from the simulated kernel, in memory and
through the mount, and updates the tables of docs/explanation/conformance.md.
"""

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.conformance import on_files, on_mount, page
from tests.conformance.answers import Record, decode_answers, differences, load, save
from tests.conformance.configurations import CONFIGURATIONS, Configuration
from tests.conformance.on_simulator import Simulator
from tests.conformance.operations import Operation
from tests.kernel import vm

CPU_LIMIT_SECONDS = 1200


def main() -> int:
    """Record the named configurations, or all. Returns 1 if any differs from the simulated kernel, 2 if it fails."""
    try:
        lines = [line for name in sys.argv[1:] or CONFIGURATIONS for line in _record(name)]
    except (vm.VmError, on_mount.MountError, TimeoutError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    if all(each.golden.exists() for each in CONFIGURATIONS.values()):
        page.PAGE.write_text(page.filled(page.PAGE.read_text()))
    return int(bool(lines))


def _record(name: str) -> list[str]:
    """Record one configuration and return a line for each difference."""
    configuration, started = CONFIGURATIONS[name], time.monotonic()
    record = answer(configuration, configuration.operations())
    news = ", not as recorded before" if _is_news(record, configuration) else ""
    save(record, configuration.golden)
    lines = differences(record, *Simulator(configuration).answers(record.operations))
    through = on_mount.carried(record)
    lines += [
        f"through the mount: {line}"
        for line in differences(through, *on_mount.answers(configuration, through.operations))
    ]
    took = f"{len(record.operations)} operations in {time.monotonic() - started:.0f} s"
    print(
        f"{name}: Linux {record.release}, {took}, {len(lines)} differences{news}", *lines[:20], sep="\n  ", flush=True
    )
    return lines


def _is_news(record: Record, configuration: Configuration) -> bool:
    return configuration.golden.exists() and load(configuration.golden)[1:] != record[1:]


def answer(configuration: Configuration, operations: list[Operation]) -> Record:
    """Boot a real kernel and return its answers. Raises VmError."""
    amd = configuration.machine.rdt.amd
    # The kernel remembers what it has written, but reads the configuration of events back.
    registers = amd is not None and amd.event_configuration
    machine = dataclasses.replace(configuration.machine, kernel=configuration.kernel, registers=registers)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="ascii") as file:
        json.dump(operations, file)
        file.flush()
        program = [sys.executable, "-I", "-S", str(Path(on_files.__file__).resolve()), "/sys/fs/resctrl", file.name]
        done = vm.run(program, machine=machine, options=",".join(configuration.options), cpu_limit=CPU_LIMIT_SECONDS)
    if done.status:
        raise vm.VmError(f"the operations ended with status {done.status}: {done.stderr}")
    release, _, rest = done.stdout.partition("\n")
    first, answers = decode_answers(rest)
    return Record(release, first, operations, answers)


if __name__ == "__main__":
    sys.exit(main())
