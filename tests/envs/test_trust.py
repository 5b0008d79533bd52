"""A module is imported only if the user named it, and then from nowhere but the file that it was in."""

import sys

import pytest

from seqrl_cli.envs import trust
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError

ENVIRONMENT = """
import gymnasium, numpy as np
from pathlib import Path
Path(__file__).with_suffix(".ran").touch()
class Still(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}
    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}
gymnasium.register("Still-v0", Still, max_episode_steps=5)
"""
ID = "own_module:Still-v0"


@pytest.fixture(autouse=True)
def forgetful(tmp_path, monkeypatch):
    """Nothing was named yet, and what a test imports is forgotten after it."""
    monkeypatch.setattr(trust, "_accepted", set())
    monkeypatch.setattr(trust, "_memory", lambda: tmp_path / "home" / "environments.json")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_module", None)


@pytest.fixture
def new_process(monkeypatch):
    """A function that makes this process forget what a process forgets when it ends."""
    known = [*sys.path]

    def forget() -> None:
        trust._accepted.clear()
        sys.path[:] = known
        sys.modules.pop("own_module", None)

    return forget


def write_module(folder, name="own_module.py"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(ENVIRONMENT)
    return folder


def ran(folder) -> bool:
    return (folder / "own_module.ran").exists()


@pytest.mark.parametrize("on_path", [False, True])
def test_what_only_a_file_names_is_not_imported(tmp_path, monkeypatch, on_path):
    write_module(tmp_path)
    if on_path:  # as with ``python -m seqrl_cli``
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SeqrlError, match="named by a file, and making it would run the code of module 'own_module'"):
        make_env(ID)
    assert not ran(tmp_path)


def test_nor_is_a_module_that_is_imported_already():
    with pytest.raises(SeqrlError, match="'json'") as caught:
        make_env("json:Hopper-v4")
    assert caught.value.hint.endswith("data.env_id=json:Hopper-v4")


def test_what_the_user_names_is_found_beside_the_data_and_remembered(tmp_path, new_process):
    place = write_module(tmp_path / "beside")
    trust.accept(ID, [tmp_path, place])
    make_env(ID).close()
    trust.remember(ID)
    assert ran(place)
    new_process()
    make_env(ID).close()


def test_another_module_of_that_name_is_not_imported_in_its_place(tmp_path, monkeypatch, new_process):
    mine, theirs = write_module(tmp_path / "mine"), write_module(tmp_path / "theirs")
    trust.accept(ID, [mine])
    make_env(ID).close()
    trust.remember(ID)
    new_process()
    monkeypatch.chdir(theirs)
    make_env(ID).close()
    new_process()
    (mine / "own_module.py").unlink()
    with pytest.raises(SeqrlError, match="named by a file"):
        make_env(ID)
    monkeypatch.syspath_prepend(theirs)
    with pytest.raises(SeqrlError, match="named by a file"):
        make_env(ID)
    assert not ran(theirs)


def test_a_folder_shadows_nothing(tmp_path):
    for name in ("json.py", "pygame.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('this ran')")
    trust.accept("json:Hopper-v4", [tmp_path])
    make_env("json:Hopper-v4").close()
    assert str(tmp_path) not in sys.path


def test_a_damaged_memory_remembers_nothing(tmp_path):
    for text in ("{", "[]", f'{{"{ID}": 3}}'):
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "environments.json").write_text(text)
        with pytest.raises(SeqrlError, match="named by a file"):
            make_env(ID)
    write_module(tmp_path)
    trust.accept(ID, [tmp_path])
    trust.remember(ID)
    assert trust._remembered() == {ID: [str(tmp_path / "own_module.py")]}


def test_a_module_that_is_nowhere_and_a_name_that_it_does_not_have(tmp_path):
    trust.accept("nowhere_at_all:Still-v0", [tmp_path])
    with pytest.raises(SeqrlError, match="there is no module 'nowhere_at_all'") as caught:
        make_env("nowhere_at_all:Still-v0")
    assert "PYTHONPATH" in caught.value.hint
    write_module(tmp_path)
    trust.accept("own_module:Stil-v0", [tmp_path])
    with pytest.raises(SeqrlError, match="'own_module:Stil-v0'") as caught:
        make_env("own_module:Stil-v0")
    assert caught.value.hint == "did you mean 'own_module:Still-v0'?"


def test_a_module_that_raises(tmp_path):
    (tmp_path / "own_module.py").write_text("1 / 0")
    trust.accept(ID, [tmp_path])
    with pytest.raises(SeqrlError, match="failed when its module own_module was imported: ZeroDivisionError"):
        make_env(ID)
