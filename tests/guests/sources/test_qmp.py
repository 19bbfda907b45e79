"""QMP: which process's threads an answer may list, and answers that QEMU never gives."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from cachetune.errors import MissingExtraError, SourceTimeoutError, SourceUnavailableError
from cachetune.extras import how_to_install
from cachetune.guests.proc.processes import emulators
from cachetune.guests.sources import qmp
from cachetune.guests.sources.sighting import Sighting
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, search

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
NO_UUID = "00000000-0000-0000-0000-000000000000"
GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "qmp"


def commands(stream: IO[bytes]) -> Iterator[Any]:
    """Consecutive JSON objects."""
    text = ""
    while data := stream.read(4096):
        text += data.decode()
        while text.strip():
            try:
                command, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break  # the rest has not arrived yet
            text = text[end:]
            yield command


@contextmanager
def answering(path: Path, answers: Mapping[str, Any], greeting: Any = GREETING) -> Iterator[None]:
    """This process as a QEMU that gives these answers; None is an answer that never arrives."""

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", buffering=0) as stream:
            if greeting is not None:
                stream.write(greeting if isinstance(greeting, bytes) else json.dumps(greeting).encode() + b"\n")
            for command in commands(stream):
                answer = {"qmp_capabilities": {}, **answers}.get(command["execute"])
                if answer is not None:
                    stream.write(json.dumps({"return": answer, "id": command.get("id")}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def wait() -> None:
            try:
                serve(listener.accept()[0])
            except OSError:
                return  # the other side has hung up

        server = threading.Thread(target=wait)
        server.start()
        try:
            yield
        finally:
            server.join(10)
            assert not server.is_alive()


def said(
    cpus: Mapping[int, int], name: str = "web", uuid: str = NO_UUID, iothreads: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The answers of a QEMU with these vCPU threads and iothreads."""
    return {
        "query-cpus-fast": [
            {"cpu-index": vcpu, "thread-id": tid, "props": {"core-id": vcpu, "thread-id": 0}, "target": "x86_64"}
            for vcpu, tid in cpus.items()
        ],
        "query-iothreads": [
            {"id": name, "thread-id": tid, "poll-max-ns": 32768} for name, tid in (iothreads or {}).items()
        ],
        "query-name": {"name": name} if name else {},
        "query-uuid": {"UUID": uuid},
    }


def look(path: Path) -> Sighting:
    (sighting,) = qmp.look(search(qmp=path)).sightings
    return sighting


@pytest.fixture
def threads() -> Iterator[tuple[int, int]]:
    """Two threads of this process, which listens in place of QEMU."""
    end, started, tids = threading.Event(), threading.Barrier(3), []

    def run() -> None:
        tids.append(threading.get_native_id())
        started.wait()
        end.wait()

    both = [threading.Thread(target=run) for _ in range(2)]
    for thread in both:
        thread.start()
    started.wait()
    yield tids[0], tids[1]
    end.set()
    for thread in both:
        thread.join()


def test_the_process_behind_the_socket_owns_the_threads(path: Path, threads: tuple[int, int]) -> None:
    with answering(path, said({0: threads[0], 1: threads[1]}, uuid=UUID)):
        guest = look(path)
    assert guest.process.pid == os.getpid()
    assert (guest.name, guest.uuid, guest.vcpus) == ("web", UUID, {0: threads[0], 1: threads[1]})


def test_the_thread_id_of_the_topology_is_ignored(path: Path, threads: tuple[int, int]) -> None:
    answers = said({0: threads[0]})
    answers["query-cpus-fast"][0]["props"]["thread-id"] = threads[1]
    with answering(path, answers):
        assert look(path).vcpus == {0: threads[0]}


def test_one_thread_for_all_vcpus_is_reported(path: Path, threads: tuple[int, int]) -> None:
    with answering(path, said({0: threads[0], 1: threads[0]})):
        guest = look(path)
    assert (guest.vcpus, guest.one_thread) == ({}, True)


def test_a_thread_of_another_process_is_rejected(path: Path, threads: tuple[int, int]) -> None:
    with NamedThreads("CPU 0/KVM") as other, answering(path, said({0: threads[0], 1: other.tids["CPU 0/KVM"]})):
        guest = look(path)
    assert (guest.vcpus, guest.ended) == ({0: threads[0]}, (1,))


def test_a_process_may_listen_for_a_qemu_if_name_and_threads_match(path: Path) -> None:
    with NamedThreads("CPU 0/KVM", arguments=["-name", "guest=web"]) as other:
        vcpus = {0: other.tids["CPU 0/KVM"]}
        with answering(path, said(vcpus)):
            guest = look(path)
        assert (guest.process.pid, guest.vcpus) == (other.pid, vcpus)


@pytest.mark.parametrize(
    ("listens", "runs", "believed"),
    [(0, 64055, True), (64055, 64055, True), (1000, 64055, False), (1000, 0, False), (1000, None, False)],
)
def test_another_users_listener_is_rejected(
    listens: int, runs: int | None, believed: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "_listener", lambda _: (os.getpid(), listens))
    with NamedThreads("CPU 0/KVM", arguments=["-name", "guest=web"]) as other:
        processes = [msgspec.structs.replace(one, user=runs) for one in emulators(PROC)]
        with answering(path, said({0: other.tids["CPU 0/KVM"]})):
            if believed:
                assert qmp.look(search(processes, qmp=path)).sightings[0].process.pid == other.pid
            else:
                with pytest.raises(SourceUnavailableError, match="not a process on this host"):
                    qmp.look(search(processes, qmp=path))


@pytest.mark.parametrize(
    ("name", "uuid", "extra"), [("db", NO_UUID, {}), ("", UUID, {}), ("", NO_UUID, {}), ("web", NO_UUID, {1: 1})]
)
def test_an_answer_with_threads_of_an_unrelated_process_is_rejected(
    name: str, uuid: str, extra: dict[int, int], path: Path
) -> None:
    with NamedThreads("CPU 0/KVM", arguments=["-name", "guest=web"]) as other:
        answers = said({0: other.tids["CPU 0/KVM"], **extra}, name, uuid)
        with answering(path, answers), pytest.raises(SourceUnavailableError, match="not a process on this host"):
            look(path)


@pytest.mark.parametrize(
    "broken",
    [
        {"query-cpus-fast": [{"cpu-index": 0}]},
        {"query-cpus-fast": [{"cpu-index": "0", "thread-id": 1}]},
        {"query-cpus-fast": {"cpu-index": 0, "thread-id": 1}},
        {"query-cpus-fast": "none"},
        {"query-name": {"name": 7}},
        {"query-uuid": {}},
    ],
    ids=str,
)
def test_a_malformed_answer_is_an_error(broken: dict[str, Any], path: Path) -> None:
    with (
        answering(path, said({0: 1}) | broken),
        pytest.raises(SourceUnavailableError, match="not answer like QEMU"),
    ):
        look(path)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff\xfe\n", {"QMP": 1}, b'{"a":\n', b"[1]\n"])
def test_a_greeting_that_is_not_qemus_is_an_error(greeting: Any, path: Path) -> None:
    with answering(path, {}, greeting), pytest.raises(SourceUnavailableError, match="not answer like QEMU"):
        look(path)


@pytest.mark.parametrize(("answers", "greeting"), [({}, None), (said({0: 1}) | {"query-uuid": None}, GREETING)])
def test_silence_times_out(answers: dict[str, Any], greeting: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "SECONDS", 0.3)
    late = r"did not answer within 0\.3 s"
    with answering(path, answers, greeting), pytest.raises(SourceTimeoutError, match=late) as caught:
        look(path)
    assert "one client at a time" in caught.value.hint


def nothing(path: Path) -> None:
    pass


def a_file(path: Path) -> None:
    path.touch()


def nobody_listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(path))


@pytest.mark.parametrize("make", [nothing, a_file, nobody_listening])
def test_a_path_without_a_listener_is_an_error(make: Callable[[Path], None], path: Path) -> None:
    make(path)
    with pytest.raises(SourceUnavailableError, match=f"cannot connect to {path}") as caught:
        look(path)
    assert "-qmp unix:PATH" in caught.value.hint


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="cannot connect"):
        look(tmp_path / ("x" * 200))


def test_without_the_extra_the_hint_names_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qemu.qmp", None)
    with pytest.raises(MissingExtraError, match=r"requires the Python package qemu\.qmp") as caught:
        look(path)
    assert caught.value.hint == how_to_install("qmp", "qemu.qmp")
