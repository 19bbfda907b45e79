"""A process with many threads, some of which end on command, or which start and end continuously.

``python -m … THREADS``. It prints its pid. For each line on standard input it prints one: "end N" ends N of its threads
("ended"), "churn" starts short-lived threads from then onwards ("churning"), "count" prints the number of those so
far. It ends with its input.
"""

import _thread
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO

BIRTHS_A_SECOND = 200


class CrowdProcess:
    """Such a process from outside."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers
        self.pid = int(answers.readline())

    def order(self, text: str) -> str:
        """Give an order; the answer comes when it is carried out."""
        self._orders.write(f"{text}\n".encode())
        self._orders.flush()
        return self._answers.readline().decode().strip()


@contextlib.contextmanager
def crowd(threads: int) -> Iterator[CrowdProcess]:
    """Start one; it is ended on exit."""
    command = [sys.executable, "-m", __spec__.name, str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        try:
            yield CrowdProcess(process.stdin, process.stdout)
        finally:
            process.stdin.close()


class _Crowd:
    def __init__(self, size: int) -> None:
        threading.stack_size(1 << 16)
        self.births = 0
        self._ends = [threading.Event() for _ in range(size)]
        self._threads = [threading.Thread(target=end.wait, daemon=True) for end in self._ends]
        for thread in self._threads:
            thread.start()

    def end(self, count: int) -> None:
        """Those that were started last."""
        for _ in range(count):
            self._ends.pop().set()
            self._threads.pop().join()

    def churn(self) -> None:
        """Forever: start threads, each of which lives until five more have started."""
        due = time.monotonic()
        while True:
            _thread.start_new_thread(time.sleep, (5 / BIRTHS_A_SECOND,))  # threading's would wait for each to begin
            self.births += 1
            due = max(due + 1 / BIRTHS_A_SECOND, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))


def main() -> None:
    """Start the threads, print the pid, obey the commands."""
    crowd = _Crowd(int(sys.argv[1]))
    print(threading.get_native_id(), flush=True)  # noqa: T201
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "end":
            crowd.end(int(number))
            answer = "ended"
        elif word == "churn":
            threading.Thread(target=crowd.churn, daemon=True).start()
            answer = "churning"
        else:
            answer = str(crowd.births)
        print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
