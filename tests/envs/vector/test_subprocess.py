"""Environments in a process of their own: the same numbers as here, whatever becomes of the process."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from seqrl_cli.data.space import DiscreteSpace, Space
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector import child as child_process
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.subprocess import SubprocessBackend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from tests.envs.counted import PICTURES, UNSUITABLE
from tests.envs.fragile import FICKLE, FRAGILE, plot_mischief
from tests.processes import children, is_running, until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAGILE", str(tmp_path))
    return tmp_path


def vector(env_id, slots=2, *, backend=SubprocessBackend, **options) -> SeededVectorEnv:
    return SeededVectorEnv(env_id, slots, backend=backend, **options)


def draw_actions(space: Space, slots: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(space, DiscreteSpace):
        return rng.integers(space.n, size=slots)
    return rng.uniform(-1, 1, (slots, *space.shape)).astype(np.float32)


def play(vector: SeededVectorEnv, steps: int = 30, on_step=lambda number: None) -> list[np.ndarray]:
    """All that is to be seen of two slots that play episodes of their own, the second idle now and then."""
    rng, seen, seeds = np.random.default_rng(0), [], iter(range(99))
    with closing(vector):
        for number in range(steps):
            for slot in np.flatnonzero(~vector.active):
                seen.append(vector.start(int(slot), next(seeds)))
            on_step(number)
            actions = draw_actions(vector.spaces.action, len(vector), rng)
            step = vector.step(actions, np.arange(len(vector)) < 1 + number % 3)
            seen += [step.observations, step.rewards, step.terminated, step.truncated]
            seen += [array for state in vector.states() for array in (state.qpos, state.qvel)]
    return seen


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


SAME = [
    ("Hopper-v4", {"observation_size": 5}),
    ("Pendulum-v1", {}),
    (FRAGILE, {}),
    ("CartPole-v1", {}),
    (PICTURES, {}),
]


@pytest.mark.parametrize(("env_id", "options"), SAME)
def test_a_process_gives_the_same_numbers_as_this_one(env_id, options, capfd):
    there, here = (
        vector(env_id, max_episode_steps=8, backend=backend, **options)
        for backend in (SubprocessBackend, InProcessBackend)
    )
    assert there.spaces == here.spaces and there.max_episode_steps == here.max_episode_steps == 8
    ours = play(there)
    assert capfd.readouterr().out == ""  # what environments print is no result
    assert_equal(ours, play(here))
    assert not children()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("abort", "died of signal 6 (SIGABRT)"),
        ("kill", "died of signal 9 (SIGKILL)"),
        ("exit", "ended with exit code 3"),
    ],
)
def test_a_process_that_dies_is_started_again_and_nothing_is_lost(what, how):
    whole, warnings = play(vector(FRAGILE, backend=InProcessBackend)), []
    plot_mischief(what, step=7)
    assert_equal(play(vector(FRAGILE, backend=partial(SubprocessBackend, on_warning=warnings.append))), whole)
    assert warnings == [f"the process of environment {FRAGILE} {how} in step 7: it is started again"]
    assert not children()


@pytest.mark.slow
def test_the_death_of_a_process_is_noticed_though_what_it_forked_lives_on(folder):
    whole, warnings = play(vector(FRAGILE, backend=InProcessBackend)), []
    plot_mischief("fork and die", step=7)
    began = time.monotonic()
    assert_equal(play(vector(FRAGILE, backend=partial(SubprocessBackend, on_warning=warnings.append))), whole)
    assert len(warnings) == 1 and time.monotonic() - began < 60  # the helper lives for two minutes
    until(lambda: not is_running(int((folder / "helper").read_text())))


def test_what_a_process_forked_ends_with_it(folder):
    plot_mischief("fork", step=3)
    play(vector(FRAGILE))
    until(lambda: not is_running(int((folder / "helper").read_text())))
    assert not children()


@pytest.mark.slow
def test_a_process_that_is_killed_between_steps_is_started_again():
    def kill(number: int) -> None:
        if number in (3, 4, 25):
            (child,) = children()
            child.kill()

    assert_equal(play(vector("Hopper-v4"), on_step=kill), play(vector("Hopper-v4", backend=InProcessBackend)))


def test_a_step_of_no_slot_needs_no_process():
    with closing(vector(FRAGILE)) as there, closing(vector(FRAGILE, backend=InProcessBackend)) as here:
        seen = []
        for each in (there, here):
            each.start(0, 5)
            each.step(np.ones((2, 2), np.float32))
            for child in children():
                child.kill()
            step = each.step(np.ones((2, 2), np.float32), np.zeros(2, np.bool_))
            seen.append([step.observations, step.rewards, step.terminated, step.truncated])
        assert_equal(*seen)


@pytest.mark.slow
def test_what_kills_two_in_a_row_is_told():
    warnings = []
    plot_mischief("abort", step=3, once=False)
    with pytest.raises(EnvironmentFailedError) as caught:
        play(vector(FRAGILE, 1, backend=partial(SubprocessBackend, on_warning=warnings.append)))
    death = f"the process of environment {FRAGILE} died of signal 6 (SIGABRT) in step 3"
    assert warnings == [f"{death}: it is started again"]
    assert str(caught.value) == f"{death}, and so did the next one"
    assert not children()


def test_what_an_environment_raises_is_told_as_if_it_were_here():
    plot_mischief("raise", step=3, once=False)
    failures = []
    for backend in (InProcessBackend, SubprocessBackend):
        with pytest.raises(EnvironmentFailedError, match="failed in a step: ValueError: a gear is missing\n") as caught:
            play(vector(FRAGILE, backend=backend))
        failures.append((caught.value.message, caught.value.hint))
    assert failures[0] == failures[1]
    assert "in break_down" in str(caught.value.__cause__)


def test_a_mistake_that_an_environment_tells_of_is_no_death_of_its_process():
    plot_mischief("refuse", step=3, once=False)
    warnings = []
    for backend in (InProcessBackend, partial(SubprocessBackend, on_warning=warnings.append)):
        with pytest.raises(SeqrlError) as caught:
            play(vector(FRAGILE, backend=backend))
        assert type(caught.value) is SeqrlError
        assert (caught.value.message, caught.value.hint) == ("there is no oil", "buy some")
    assert not warnings and not children()


@pytest.mark.parametrize("env_id", ["Hoper-v4", "nowhere:Hopper-v4", UNSUITABLE])
def test_what_cannot_be_made_is_refused_as_if_it_were_here(env_id):
    errors = []
    for backend in (InProcessBackend, SubprocessBackend):
        with pytest.raises(SeqrlError) as caught:
            vector(env_id, backend=backend)
        errors.append((type(caught.value), caught.value.message, caught.value.hint))
    assert errors[0] == errors[1] and not children()


@pytest.mark.slow
def test_an_episode_that_does_not_follow_from_its_seed_cannot_go_on():
    plot_mischief("abort", step=7)
    actions = np.zeros((1, 2), np.float32)
    with closing(vector(FICKLE, 1)) as fickle:
        fickle.start(0, 0)
        for _ in range(6):
            fickle.step(actions)
        for _ in range(2):  # nor when it is asked again
            with pytest.raises(EnvironmentFailedError, match="same seed and actions, step 6 shows something else"):
                fickle.step(actions)
            assert not children()


@pytest.mark.slow
def test_a_process_that_gives_no_answer_is_ended(folder):
    plot_mischief("hang", step=3)
    warnings = []
    backend = partial(SubprocessBackend, on_warning=warnings.append, timeout=5)
    with pytest.raises(EnvironmentFailedError) as caught:
        play(vector(FRAGILE, 1, backend=backend))
    assert caught.value.message == f"environment {FRAGILE} gave no answer for 5 seconds in step 3, and was ended"
    assert not warnings and not children() and not is_running(int((folder / "hangs").read_text()))


def test_modules_are_found_where_this_process_finds_them(tmp_path, monkeypatch):
    lines = "import gymnasium, tests.envs.fragile\ngymnasium.register('Own-v0', tests.envs.fragile.Fragile)\n"
    (tmp_path / "my_own_envs.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    accept("my_own_envs:Own-v0")
    vector("my_own_envs:Own-v0").close()


def test_a_system_without_poll_and_fork_plays_too(tmp_path, monkeypatch, capfd):
    (tmp_path / "sitecustomize.py").write_text("import os, select\ndel select.poll, os.fork, os.register_at_fork\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plot_mischief("exit", step=7)
    assert_equal(play(vector(FRAGILE)), play(vector(FRAGILE, backend=InProcessBackend)))
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def parent(folder):
    """A program whose environment hangs in its third step; gives it and the environment's process id."""
    plot_mischief("hang", step=3)
    program = (
        "import numpy as np\n"
        "import tests.envs.fragile\n"
        "from seqrl_cli.envs.vector.subprocess import SubprocessBackend\n"
        "from seqrl_cli.envs.vector.vector import SeededVectorEnv\n"
        f"vector = SeededVectorEnv({FRAGILE!r}, 1, backend=SubprocessBackend)\n"
        "vector.start(0, 0)\n"
        "while True: vector.step(np.zeros((1, 2)))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: (folder / "hangs").exists() and (folder / "hangs").read_text())
    yield process, int((folder / "hangs").read_text())
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_for_a_step_and_its_process(parent):
    process, pid = parent
    os.kill(pid, signal.SIGINT)  # is not for it
    assert is_running(pid)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors
    until(lambda: not is_running(pid))


def press_before_the_answer(answers) -> None:
    raise KeyboardInterrupt


def press_when_the_answer_is_there(answers) -> None:
    assert select.select([answers], [], [], 60)[0]
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("press", [press_before_the_answer, press_when_the_answer_is_there])
def test_ctrl_c_right_after_a_question_leaves_no_answer_to_it(monkeypatch, press):
    def interrupt(number: int) -> None:
        if number == 4:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(child_process, "receive", press)
                there.step(-np.ones((2, 3), np.float32))

    there, here = vector("Hopper-v4"), vector("Hopper-v4", backend=InProcessBackend)
    assert_equal(play(there, on_step=interrupt), play(here))


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent_even_amid_a_step(parent):
    process, pid = parent
    process.kill()
    process.wait()
    until(lambda: not is_running(pid), seconds=20)
