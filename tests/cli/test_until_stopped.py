"""Output that goes on until it is stopped: by signals at any moment, and by readers that end or do not read."""

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cachetune.cli.until_stopped import UntilStopped

FAR = 1e6
"""Seconds that no test waits."""


class Pipe:
    """A pipe that is stdout; ``reader`` is its other end."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.stdout = os.fdopen(self.writer, "w")


@contextmanager
def piped() -> Iterator[Pipe]:
    """stdout is a pipe. In the test itself, as pytest has its own stdout in a fixture."""
    pipe, stdout = Pipe(), sys.stdout
    sys.stdout = pipe.stdout
    try:
        yield pipe
    finally:
        sys.stdout = stdout
        pipe.stdout.close()
        os.close(pipe.reader)


def later(function: object, *arguments: object) -> threading.Thread:
    """Call a function in another thread, once this one waits."""
    thread = threading.Timer(0.05, function, arguments)  # type: ignore[arg-type]
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_wait(number: signal.Signals) -> None:
    with piped(), UntilStopped() as out:
        assert not out.wait(0.0)
        thread = later(os.kill, os.getpid(), number)
        assert out.wait(FAR)
        thread.join()
        assert out.wait(FAR), "it stays stopped"


def test_a_signal_that_comes_before_the_wait_ends_it_too() -> None:
    with piped(), UntilStopped() as out:
        signal.raise_signal(signal.SIGTERM)
        assert out.wait(FAR)


def test_a_second_signal_interrupts() -> None:
    with piped(), UntilStopped():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_the_end_of_the_reader_ends_a_wait_without_a_write() -> None:
    with piped() as pipe, UntilStopped() as out:
        other = os.dup(pipe.reader)
        os.dup2(os.open(os.devnull, os.O_RDONLY), pipe.reader)
        thread = later(os.close, other)
        assert out.wait(FAR)
        thread.join()
        assert not out.write(b"line\n")


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with piped(), UntilStopped():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("is_stopped", [False, True])
def test_all_of_a_large_text_is_written_to_a_slow_reader_even_after_a_signal(*, is_stopped: bool) -> None:
    data, received = bytes(range(256)) * 2048, bytearray()
    with piped() as pipe, UntilStopped() as out:

        def read_all() -> None:
            while len(received) < len(data):
                received.extend(os.read(pipe.reader, 3000))

        out.stopped = is_stopped
        thread = threading.Thread(target=read_all)
        thread.start()
        assert out.write(data)
        thread.join()
    assert bytes(received) == data


def test_a_signal_ends_a_write_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachetune.cli.until_stopped._WRITE_SECONDS", 0.01)
    with piped() as pipe, UntilStopped() as out:
        fcntl.fcntl(pipe.reader, fcntl.F_SETPIPE_SZ, 4096)
        thread = later(os.kill, os.getpid(), signal.SIGTERM)
        assert not out.write(b"x" * 100_000)
        thread.join()
        assert out.stopped
