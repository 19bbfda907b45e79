"""The family of errors: each has fields, a one-line text, a hint and an exit code, can be pickled, and is raised."""

import ast
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachetune
from cachetune import errors
from cachetune.errors import CachetuneError
from cachetune.findings import Finding

PACKAGE = Path(cachetune.__file__).parent
FINDING = Finding("CT501", "error", 0, 0, "", "the host has changed", "plan again")

SAMPLES: tuple[CachetuneError, ...] = (
    errors.CachetuneError("anything", hint="what to do"),
    errors.InputError("--pid and --vcpu exclude each other", hint="--pid finds the vCPU threads"),
    errors.UnreadableFileError(Path("web.xml"), "No such file or directory", hint="pass another file"),
    errors.UnwritableFileError("plan.json", "Permission denied"),
    errors.DocumentError("host.json", "Object missing required field `groups`", hint="take a new snapshot"),
    errors.InvalidDomainError((FINDING,)),
    errors.UnknownVersionError("libvirt", "8.0", "9.0 and later"),
    errors.ProfileNotFoundError("skylake", ("skylake-2s", "milan")),
    errors.UnknownGuestError("wbe", ("web", "db")),
    errors.GuestNotFoundError("wbe", ("web", "db"), ("/run/libvirt/qemu/db.xml: permission denied",)),
    errors.AmbiguousGuestError("web", ((40, 0), (50, None))),
    errors.GuestVcpusUnknownError("web", 40, "all vCPUs run in one thread", hint="use --vcpu N=TID"),
    errors.WrongGuestError("web.xml", "db", "web"),
    errors.ProcessNotFoundError(7),
    errors.ZombieProcessError(7),
    errors.NotAProcessError(8, 7),
    errors.ThreadNotFoundError(8, 0),
    errors.SourceUnavailableError("qmp", "cannot connect to /run/qmp", hint="pass another socket"),
    errors.SourceTimeoutError("libvirt", "qemu:///system", 10.0, hint="check libvirtd"),
    errors.MissingExtraError("qmp", "qemu.qmp", "source qmp"),
    errors.HostError("/sys/fs/resctrl/info/L3/cbm_mask", "not a hexadecimal mask"),
    errors.NotMountedError(Path("/sys/fs/resctrl"), "no info directory", hint="mount it"),
    errors.GroupNotFoundError("web", "/sys/fs/resctrl"),
    errors.LockTimeoutError("/sys/fs/resctrl", 10.0, 77),
    errors.ResctrlError(22, "write", "schemata", written="L3:0=0\n", kernel_says="Mask out of range", hint="use 1 bit"),
    errors.MachineNameError("äöü", "has no characters for a group name", hint="pass --machine-name NAME"),
    errors.GroupConflictError(("web", "w_eb"), hint="plan one of them separately"),
    errors.PlanRefusedError((FINDING,)),
    errors.ApplyRefusedError(FINDING),
    errors.StepError("web/schemata", "wrote 'L3:0=f' but read 'L3:0=ff'"),
    errors.InterruptedRunError("SIGTERM"),
    errors.MeasurementLostError("group web was removed"),
    errors.NotRestoredError(("web",), ("group web: L3 cache 0 keeps its mask 3",), "stopped by SIGINT"),
    errors.RecoveryFailedError(("cannot rmdir web: EBUSY",)),
    errors.StateFileError("/run/cachetune/ledger.json", "Permission denied", operation="write", hint="run as root"),
    errors.JournalDamagedError("/run/cachetune/journal.jsonl", "line 2: its checksum differs"),
    errors.AlreadyRunningError(Path("/run/cachetune"), 77),
    errors.AgentNotRunningError("/run/cachetune", 77),
    errors.HistoryError("/var/lib/cachetune/history.db", "database or disk is full", operation="write"),
    errors.HistoryDamagedError("history.db", "file is not a database", hint="pass another --db FILE"),
    errors.HistoryInUseError(Path("/var/lib/cachetune/history.db"), 77),
    errors.ListenError("127.0.0.1:9751", "Address already in use"),
    errors.FuseUnavailableError("no /dev/fuse", hint="modprobe fuse"),
    errors.MountError("/mnt", "it is not empty", hint="pass an empty directory"),
    errors.UnmountError("/mnt", "no simulated resctrl is mounted there"),
)
# Only base classes: what is raised is a subclass, or the caller builds the text.
NEVER_RAISED = {"CachetuneError"}


def family(of: type[CachetuneError] = CachetuneError) -> Iterator[type[CachetuneError]]:
    yield of
    for each in of.__subclasses__():
        yield from family(each)


CLASSES = sorted(
    {each for each in family() if each.__module__.startswith("cachetune.")}, key=lambda each: each.__name__
)


def test_every_class_is_defined_in_one_module_and_has_a_sample() -> None:
    assert {each.__module__ for each in CLASSES} == {"cachetune.errors"}
    assert {type(sample) for sample in SAMPLES} == set(CLASSES)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_has_fields_and_one_line_and_survives_pickling(error: CachetuneError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert (str(copy), copy.hint, vars(copy)) == (str(error), error.hint, vars(error))
    assert str(error)
    assert "\n" not in str(error)
    assert error.exit_code in {1, 2, 3}
    parameters = inspect.signature(type(error)).parameters.keys() - {"message", "text"}
    assert parameters <= vars(error).keys(), "every argument is a field"


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_a_class_is_documented_and_named_as_an_error(error: type[CachetuneError]) -> None:
    assert error.__name__.endswith("Error")
    assert error.__doc__
    assert error.__doc__ != CachetuneError.__doc__ or error is CachetuneError


def test_every_class_is_raised_somewhere() -> None:
    made = {
        node.func.id
        for path in PACKAGE.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert {each.__name__ for each in CLASSES} - made <= NEVER_RAISED


def test_a_verb_that_an_error_ends_exits_with_its_code(tmp_path: Path) -> None:
    done = run_python("-m", "cachetune.cli.main", "show", "--resctrl", str(tmp_path))
    assert (done.returncode, done.stdout) == (errors.NotMountedError.exit_code, "")
    assert done.stderr.startswith(f"error: {tmp_path}: not a mounted resctrl (no info directory)\n")


def test_importing_the_errors_loads_only_the_standard_library() -> None:
    done = run_python("-c", "import sys, cachetune.errors; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not {"msgspec", "lxml", "click", "difflib"} & set(done.stdout.split())


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
