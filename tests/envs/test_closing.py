"""Whoever makes an environment closes it, also when something is wrong with it."""

import pytest

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from tests.envs.counted import COUNTED, UNSUITABLE, CountedEnv


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    """Counts that begin at 0; none may be left open."""
    monkeypatch.setattr(CountedEnv, "made", 0)
    monkeypatch.setattr(CountedEnv, "open", 0)
    yield
    assert CountedEnv.made > 0 and CountedEnv.open == 0


def test_collecting_leaves_no_environment_open():
    assert collect(COUNTED, [Part(uniform_factory(COUNTED), 1.0)], 30, seed=0, workers=1).transitions == 30


def test_collecting_leaves_none_open_when_a_policy_fails():
    def broken():
        raise ValueError("no policy")

    with pytest.raises(ValueError, match="no policy"):
        collect(COUNTED, [Part(broken, 1.0)], 30, seed=0, workers=1)


@pytest.mark.parametrize("make", [uniform_factory, lambda name: collect(name, [Part(None, 1.0)], 3, seed=0, workers=1)])
def test_an_unsuitable_environment_is_closed(make):
    with pytest.raises(SeqrlError, match="actions"):
        make(UNSUITABLE)


@pytest.mark.parametrize("options", [{}, {"observation_size": 1}])
def test_unsuitable_environments_of_a_vector_are_closed(options):
    with pytest.raises(SeqrlError, match="actions"):
        SeededVectorEnv(UNSUITABLE, 2, backend=InProcessBackend, **options)


def test_environments_of_a_vector_are_closed_when_there_is_no_room_for_all(monkeypatch):
    monkeypatch.setattr(CountedEnv, "limit", 2)
    with pytest.raises(SeqrlError, match="no room for another one"):
        SeededVectorEnv(COUNTED, 3, backend=InProcessBackend)
