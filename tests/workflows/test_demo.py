"""What the demo makes of a run that is in its place."""

from __future__ import annotations

from typing import Any

import pytest

from seqrl_cli.console import Console
from seqrl_cli.errors import RunConflictError, SeqrlError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.demo import domains, steps
from seqrl_cli.workflows.demo import run as demo
from seqrl_cli.workflows.demo.setup import DemoRequest


@pytest.fixture
def demo_fails_with(tmp_path, monkeypatch):
    """Run the demo with a training that ends in an error, and return the error that the user sees."""
    monkeypatch.setattr(demo.download, "run", lambda *_: None)
    monkeypatch.setattr(demo.discretize, "run", lambda *_: None)

    def told(error: SeqrlError) -> SeqrlError:
        def train_model(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(steps.train, "run", train_model)
        with pytest.raises(SeqrlError) as caught:
            demo.run(DemoRequest(RunStore(tmp_path), seed=0), Console(quiet=True))
        return caught.value

    return told


def test_a_run_in_the_way_is_told_with_what_the_demo_can_do(demo_fails_with):
    told = demo_fails_with(RunConflictError("there is another run", "in whichever words"))
    assert told.message == "there is another run" and "seqrl demo --runs-dir FOLDER" in told.hint


def test_any_other_failure_keeps_its_hint_whatever_it_names(demo_fails_with):
    told = demo_fails_with(SeqrlError("the disk is full", "make room, or give a shorter --name"))
    assert told.hint == "make room, or give a shorter --name"


def test_the_demo_of_domains_says_which_package_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(domains, "is_installed", lambda extra: extra != "dmc")
    with pytest.raises(SeqrlError, match="the extra dmc, which is not installed") as caught:
        domains.run(DemoRequest(RunStore(tmp_path), domains.NAME), Console(quiet=True))
    assert "domains" in caught.value.hint and not any(tmp_path.iterdir())


def test_the_demo_of_domains_is_foreseen(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(domains, "is_installed", lambda extra: True)
    domains.dry_run(DemoRequest(RunStore(tmp_path), domains.NAME, seed=7), Console())
    told = " ".join(capsys.readouterr().out.split())
    assert "mt8+dmc4/mddt-s7" in told and "2,000" in told and not any(tmp_path.iterdir())
