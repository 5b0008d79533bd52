import errno
import json
from pathlib import Path

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.record import SCHEMA_VERSION, read_record
from seqrl_cli.runs.store import RunStore
from tests.runs.records import make_run


def refuse_warnings(message):
    raise AssertionError(f"warned of {message!r}")


def test_record_round_trip(tmp_path):
    path = make_run(tmp_path, "hopper-medium-v2", "gpt-s42")
    record = read_record(path)
    assert record.name == "gpt-s42" and record.updated >= record.created
    assert set(record.versions) >= {"python", "seqrl", "torch", "mujoco"}


def test_find_takes_nothing_a_name_a_dataset_and_a_path(tmp_path):
    store = RunStore(tmp_path)
    first = make_run(tmp_path, "sim/hopper-medium", "gpt-s42").parent
    second = make_run(tmp_path, "sim/hopper-medium", "gpt-s43").parent
    other = make_run(tmp_path, "hopper-medium-v2", "other").parent
    assert store.find(None, refuse_warnings).path == other
    assert store.find("gpt-s42", refuse_warnings).path == first
    assert store.find("sim/hopper-medium", refuse_warnings).path == second
    assert store.find("sim/hopper-medium/gpt-s42", refuse_warnings).path == first
    assert store.find(str(first), refuse_warnings).path == first
    assert store.name_of(first) == "sim/hopper-medium/gpt-s42"


def test_a_slash_at_the_end_changes_nothing(tmp_path):
    make_run(tmp_path, "sim/hopper-medium", "gpt-s42")
    store = RunStore(tmp_path)
    assert store.find("gpt-s42/") == store.find("gpt-s42") == store.find("sim/hopper-medium/")


def test_a_record_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = make_run(tmp_path, "sim/hopper-medium", "gpt-s42")

    def fail(path: Path) -> object:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("seqrl_cli.runs.record.read_json", fail)
    with pytest.raises(SeqrlError, match="cannot read .*: input/output error") as refused:
        read_record(path)
    assert "--force" not in refused.value.hint


def test_find_says_what_is_near_or_ambiguous(tmp_path):
    store = RunStore(tmp_path)
    with pytest.raises(SeqrlError, match="no run in") as caught:
        store.find(None, refuse_warnings)
    assert "seqrl train" in caught.value.hint
    make_run(tmp_path, "hopper-medium-v2", "gpt-s42")
    with pytest.raises(SeqrlError, match="no run 'hopper-medium-v2/gpt-s41'") as caught:
        store.find("hopper-medium-v2/gpt-s41", refuse_warnings)
    assert "did you mean 'hopper-medium-v2/gpt-s42'?" in caught.value.hint
    with pytest.raises(SeqrlError, match="no run 'gtp-s42'") as caught:
        store.find("gtp-s42", refuse_warnings)
    assert caught.value.hint == "did you mean 'gpt-s42'?"
    make_run(tmp_path, "walker2d-medium-v2", "gpt-s42")
    with pytest.raises(SeqrlError, match="matches several runs"):
        store.find("gpt-s42", refuse_warnings)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is damaged"),
        ("[1]", "not a run record"),
        ('{"schema_version": 1}', "not a run record"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), "written by a newer seqrl"),
    ],
)
def test_damaged_foreign_and_newer_records_are_named_and_left_out(tmp_path, content, words):
    good = make_run(tmp_path, "hopper-medium-v2", "good").parent
    bad = tmp_path / "hopper-medium-v2" / "bad" / "run.json"
    bad.parent.mkdir()
    bad.write_text(content)
    with pytest.raises(SeqrlError, match=words) as caught:
        read_record(bad)
    assert str(bad) in caught.value.message
    store = RunStore(tmp_path)
    assert [folder.path for folder, _ in store.runs()] == [good]
    assert [(folder.path, error.message) for folder, error in store.read_runs()[1]] == [
        (bad.parent, caught.value.message)
    ]


@pytest.mark.parametrize(
    "key, name", [("datasets", "../.."), ("datasets", "sim/a+../b"), ("datasets", "/etc"), ("parent", "../a/odt-s1")]
)
def test_records_whose_names_lead_elsewhere_are_refused(tmp_path, key, name):
    record = make_run(tmp_path, "sim/hopper-medium", "good")
    record.write_text(json.dumps(json.loads(record.read_text()) | {key: [name] if key == "datasets" else name}))
    with pytest.raises(SeqrlError, match="which is no folder's name in a run directory") as caught:
        read_record(record)
    assert repr(name) in caught.value.message and str(record) in caught.value.message


def test_find_says_aloud_when_an_unreadable_run_may_be_the_latest(tmp_path):
    store, said = RunStore(tmp_path), []
    older = make_run(tmp_path, "sim/hopper-medium", "older").parent
    newest = make_run(tmp_path, "sim/hopper-medium", "newest")
    other = make_run(tmp_path, "hopper-medium-v2", "other").parent
    newest.write_text("{")
    assert store.find(None, said.append).path == other and store.find("sim/hopper-medium", said.append).path == older
    assert said == [
        f"{newest} is damaged; the latest readable run is hopper-medium-v2/other",
        f"{newest} is damaged; the latest readable run is sim/hopper-medium/older",
    ]
    assert store.find("hopper-medium-v2", refuse_warnings).path == other
    assert store.find("older", refuse_warnings).path == older


def test_find_names_an_unreadable_run_that_is_the_only_one(tmp_path):
    path = make_run(tmp_path, "sim/hopper-medium", "gpt-s42")
    path.write_text("{")
    for spec in (None, "gpt-s42", "sim/hopper-medium"):
        with pytest.raises(SeqrlError, match="gpt-s42/run.json is damaged"):
            RunStore(tmp_path).find(spec, refuse_warnings)
    make_run(tmp_path, "hopper-medium-v2", "gpt-s42")
    with pytest.raises(SeqrlError, match="'gpt-s42' matches several runs"):
        RunStore(tmp_path).find("gpt-s42", refuse_warnings)


def test_a_folder_has_one_name_however_it_is_written(tmp_path, monkeypatch):
    run = make_run(tmp_path / "runs", "sim/hopper-medium", "gpt-s42").parent
    monkeypatch.chdir(tmp_path)
    store = RunStore(Path("runs"))
    assert store.name_of(run) == store.name_of(Path("runs/sim/hopper-medium/gpt-s42")) == "sim/hopper-medium/gpt-s42"
    assert store.known_as(run) == Path("runs/sim/hopper-medium/gpt-s42")
    assert store.name_of(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_links_are_followed_and_no_folder_counts_twice(tmp_path):
    elsewhere = make_run(tmp_path / "disk", "sim/hopper-medium", "gpt-s42").parent
    root = tmp_path / "runs"
    (root / "sim").mkdir(parents=True)
    (root / "sim/hopper-medium").symlink_to(elsewhere.parent)
    (root / "sim/above").symlink_to(root)
    (root / "again").symlink_to(elsewhere.parent)
    (root / "broken").symlink_to(root / "nothing")
    store = RunStore(root)
    (found,) = store.runs()
    assert store.find("gpt-s42", refuse_warnings) == found[0] and store.name_of(found[0].path) == "again/gpt-s42"


def test_a_run_is_known_by_its_own_path_where_a_link_leads_to_it_too(tmp_path):
    own = make_run(tmp_path, "sim/hopper-medium", "gpt-s42").parent
    (tmp_path / "best").symlink_to(own)
    store = RunStore(tmp_path)
    assert [folder.path for folder, _ in store.runs()] == [own]
    assert store.find("gpt-s42", refuse_warnings).path == own
