import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from seqrl_cli.behaviour.workers import worker_map
from seqrl_cli.errors import SeqrlError
from tests.processes import is_running, until

pytestmark = pytest.mark.slow


def square(number):
    return number * number


def fail(number):
    raise SeqrlError(f"task {number} is bad", "do better")


class EngineError(Exception):
    def __init__(self, engine, code):
        super().__init__(f"{engine} stopped with {code}")


class LockedError(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


def fail_strangely(error):
    raise EngineError("the engine", 7) if error == "engine" else LockedError("the lock is held")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def threads(_):
    return os.environ["OMP_NUM_THREADS"], os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_from_an_endless_stream(workers):
    with worker_map(workers) as ordered_map:
        assert list(itertools.islice(ordered_map(square, itertools.count()), 30)) == [n * n for n in range(30)]
        assert list(ordered_map(square, [])) == []


def test_processes_have_one_thread_each_and_this_one_is_left_alone(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with worker_map(2) as ordered_map:
        seen = set(ordered_map(threads, range(4)))
    assert {count for count, _ in seen} == {"1"} and os.getpid() not in {pid for _, pid in seen}
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_tasks_error_keeps_its_hint_and_tells_where_it_arose():
    with pytest.raises(SeqrlError, match="task 0 is bad") as caught, worker_map(2) as ordered_map:
        list(ordered_map(fail, range(3)))
    assert caught.value.hint == "do better" and "in fail" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("error", "message"),
    [("engine", "EngineError: the engine stopped with 7"), ("lock", "LockedError: the lock is held")],
)
def test_errors_that_cannot_be_pickled_are_told_in_words(error, message):
    with pytest.raises(RuntimeError, match=message) as caught, worker_map(2) as ordered_map:
        list(ordered_map(fail_strangely, [error, error]))
    assert "in fail_strangely" in str(caught.value.__cause__)


def test_who_waits_for_a_result_can_give_up():
    def give_up():
        raise TimeoutError

    with worker_map(2) as ordered_map:
        with pytest.raises(TimeoutError):
            list(ordered_map(time.sleep, [3600], on_wait=give_up))
        assert list(ordered_map(square, range(3))) == [0, 1, 4]


def test_a_dead_worker_is_reported():
    with pytest.raises(SeqrlError, match="worker process died"), worker_map(2) as ordered_map:
        list(ordered_map(die, range(3)))


def write_program(folder, tasks, script):
    """A script as people write it, without ``if __name__ == "__main__"``, and the module of its tasks; its path."""
    (folder / "tasks.py").write_text(textwrap.dedent(tasks))
    (folder / "program.py").write_text(textwrap.dedent(script))
    return folder / "program.py"


def test_workers_do_not_run_the_script_that_starts_them(tmp_path):
    script = write_program(
        tmp_path,
        "def act(number): return number * number",
        """
        from seqrl_cli.behaviour.workers import worker_map
        from tasks import act

        print("once")
        with worker_map(2) as ordered_map:
            print(list(ordered_map(act, range(3))))
        """,
    )
    told = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (told.stdout, told.stderr) == ("once\n[0, 1, 4]\n", "")


@pytest.fixture
def endless(tmp_path):
    """A program whose two workers are in the middle of long tasks; gives it and the workers' process ids."""
    script = write_program(
        tmp_path,
        """
        import os, time

        def act(number):
            time.sleep(0.1 if number < 8 else 60)
            return os.getpid()
        """,
        """
        import itertools
        from seqrl_cli.behaviour.workers import worker_map
        from tasks import act

        with worker_map(2) as ordered_map:
            for pid in ordered_map(act, itertools.count()):
                print(pid, flush=True)
        """,
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    workers = {int(process.stdout.readline()) for _ in range(8)}
    yield process, workers
    process.kill()
    process.communicate()


def test_interrupt_ends_everything_at_once(endless):
    process, workers = endless
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors
    assert not any(is_running(pid) for pid in workers)


def test_workers_do_not_outlive_a_killed_parent(endless):
    process, workers = endless
    process.kill()
    process.communicate(timeout=120)  # returns when nobody holds the pipes any more, a moment before the workers end
    until(lambda: not any(is_running(pid) for pid in workers))


@pytest.fixture
def asking(tmp_path):
    """A program of which a worker is in the middle of asking a process of its own, as GLFW's import asks for a version.

    Gives it and the ids of the worker and of the asked process, which would complain on stderr once it is left alone.
    """
    script = write_program(
        tmp_path,
        """
        import os, subprocess, sys

        def act(number):
            if number == 0:
                return os.getpid()
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            os.write(1, f"{process.pid}\\n".encode())  # one write: another process shares the pipe
            process.wait()
        """,
        """
        import os, sys
        from seqrl_cli.behaviour.workers import worker_map
        from tasks import act

        with worker_map(2) as ordered_map:
            answers = ordered_map(act, range(2))
            os.write(1, f"{next(answers)}\\n".encode())
            sys.stdin.readline()
        """,
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    yield process, [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.communicate()


@pytest.mark.parametrize("end", ["leaves", "killed"])
def test_what_workers_have_started_ends_with_them_without_a_word(asking, end):
    process, others = asking
    if end == "killed":
        process.kill()
    assert process.communicate("go on\n" if end == "leaves" else None, timeout=60)[1] == ""
    until(lambda: not any(map(is_running, others)))  # they close the pipe a moment before they end
