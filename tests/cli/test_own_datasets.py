"""What becomes of a user's dataset when its runs, its file or its name are in the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seqrl_cli.artifacts.locate import dataset_config, locate
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data import collect
from tests.workflows.tiny import NAME, Heard, make_runs, swings


@pytest.fixture
def store(made_once, tmp_path) -> RunStore:
    return RunStore(Path(shutil.copytree(made_once("workflows", make_runs), tmp_path / "runs")))


def test_a_training_does_not_move_other_runs_to_another_environment(store):
    other = DataConfig(env_id="InvertedPendulum-v5")
    with pytest.raises(
        SeqrlError, match="is data of Pendulum-v1; 5 runs trained on it would then be for Inverted"
    ) as told:
        locate(store, NAME).ensure(other, Heard())
    assert "data.env_id=InvertedPendulum-v5 --force" in told.value.hint
    assert locate(store, NAME).env_id == "Pendulum-v1"


def test_without_runs_the_environment_may_be_corrected(tmp_path):
    write_d4rl(tmp_path / "own.h5", swings(), {"env_id": "Pendulum-v1"})
    store = RunStore(tmp_path / "runs")
    dataset, config = dataset_config(store, str(tmp_path / "own.h5"))
    dataset.ensure(config.data, Heard())
    with pytest.raises(SeqrlError, match="sizes"):  # it is looked at, and does not fit
        locate(store, "local/own").ensure(DataConfig(env_id="InvertedPendulum-v5"), Heard())


def test_a_missing_file_of_a_dataset_with_runs_is_named(store):
    store.dataset(NAME).dataset.unlink()
    with pytest.raises(SeqrlError, match=r"dataset.h5 is missing, on which runs beside it were trained") as told:
        locate(store, NAME)
    assert "same name" in told.value.hint
    with pytest.raises(UsageError, match="unknown dataset"):
        locate(store, "collected/pendulun")


def test_a_second_file_of_the_same_name_is_explained(tmp_path):
    store, console = RunStore(tmp_path / "runs"), Heard()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_d4rl(tmp_path / folder / "own.h5", swings(seed=len(folder)), {"env_id": "Pendulum-v1"})
        dataset, config = dataset_config(store, str(tmp_path / folder / "own.h5"))
        dataset.ensure(config.data, console)
    assert "local/own is another file's dataset" in console.notes[-1] and dataset.id in console.notes[-1]


def test_a_policy_that_is_nearly_one_is_suggested(store):
    request = collect.CollectRequest(store, "hopper", "exprt", 100, 0)
    with pytest.raises(UsageError, match="no policy and no run 'exprt'") as told:
        collect.dry_run(request, Heard())
    assert told.value.hint == "did you mean 'expert'?"
