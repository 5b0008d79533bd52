"""Runs whose record, configuration or checkpoints are gone are not taken for what they are not."""

from __future__ import annotations

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder
from seqrl_cli.workflows.finetune_online.resolve import resolve
from seqrl_cli.workflows.train.dry_run import dry_run
from seqrl_cli.workflows.train.run import run as train
from tests.workflows.tiny import Heard, make_request, tuning


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
@pytest.mark.parametrize("verb", [train, dry_run])
def test_checkpoints_of_unknown_settings_are_not_resumed(store, gpt, name, verb):
    (gpt.path / name).unlink()
    before = {path: path.read_bytes() for path in gpt.path.rglob("*") if path.is_file() and path.name[0] != "."}
    with pytest.raises(SeqrlError, match=f"has checkpoints, but no {name}") as error:
        verb(make_request(store, "gpt", train__learning_rate=0.5), Heard())
    assert "--force" in error.value.hint
    assert {path: path.read_bytes() for path in before} == before
    train(make_request(store, "gpt", force=True), Heard())
    assert (gpt.path / name).exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(store, gpt):
    for step in saved_steps(gpt.checkpoints):
        for path in step_folder(gpt.checkpoints, step).iterdir():
            path.unlink()
        step_folder(gpt.checkpoints, step).rmdir()
    gpt.config.unlink()
    gpt.record.unlink()
    assert train(make_request(store, "gpt"), Heard()).updates == 2


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_fine_tuning_online_asks_for_them_too(store, odt, name):
    tuned = RunFolder(odt.path.with_name("odt-s42-online"))
    step_folder(tuned.checkpoints, 1).mkdir(parents=True)
    if name == "config.yaml":
        tuned.record.write_bytes(odt.record.read_bytes().replace(b'"parent": null', b'"parent": "odt-s42"'))
    else:
        tuned.config.write_bytes(odt.config.read_bytes())
    with pytest.raises(SeqrlError, match=f"has checkpoints, but no {name}"):
        resolve(tuning(store), Heard().warn)


def test_a_finished_run_whose_checkpoints_are_damaged_is_not_said_to_be_trained(store, gpt):
    for step in saved_steps(gpt.checkpoints):
        (step_folder(gpt.checkpoints, step) / "state.json").write_text("{")
    with pytest.raises(SeqrlError, match="no checkpoint .* is whole"):
        train(make_request(store, "gpt"), Heard())


def test_a_finished_run_without_checkpoints_is_warned_of(store: RunStore, gpt):
    for step in saved_steps(gpt.checkpoints):
        step_folder(gpt.checkpoints, step).rename(gpt.path / f"moved-{step}")
    heard = Heard()
    assert train(make_request(store, "gpt"), heard).status == "finished"
    assert any("has no checkpoint any more" in warning for warning in heard.warnings)
