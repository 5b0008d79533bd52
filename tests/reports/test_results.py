"""Reading episode records: ours, the originals', and what must not be believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from seqrl_cli.config.presets import dump_config, resolve_config
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.groups import drop_repeats, group_episodes, kind_names
from seqrl_cli.reports.results import read_result, read_results
from tests.reports.episode_files import write_episode, write_run_record


def write_rollout(folder: Path, **record: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rollout.json"
    path.write_text(json.dumps({"return": 100.0, "score": 0.1, "step": 9, "term": False, **record}), encoding="utf-8")
    return path


def test_our_record_is_read_whole(tmp_path):
    path = write_episode(tmp_path / "plans" / "H15-B128-ctx5-s0")
    (episode,) = read_results(tmp_path).episodes
    assert (episode.dataset, episode.arch, episode.run) == ("sim/hopper-medium", "gpt", "gpt-s42")
    assert (episode.score, episode.return_, episode.steps, episode.terminated) == (0.5, 1600.0, 500, True)
    assert (episode.seed, episode.seconds_per_step, episode.env_id) == (7, 0.05, "Hopper-v4")
    assert episode.method == "gpt H15-B128-ctx5"
    assert episode.run_method == "gpt-s42 H15-B128-ctx5"
    assert episode.path == path


def test_settings_without_a_horizon_are_named_by_the_plan_folder(tmp_path):
    write_episode(tmp_path / "rtg3600-ctx20-s3", settings={"target_return": 3600}, arch="dt")
    assert read_results(tmp_path).episodes[0].method == "dt rtg3600-ctx20"


def test_plans_with_other_settings_beside_horizon_and_beam_are_told_apart(tmp_path):
    for name in ("H15-B128-ctx5-s0", "H15-B128-ctx5-freq2-s0", "H15-B128-ctx5-s1"):
        write_episode(tmp_path / "gpt-s42" / "plans" / name)
    labels = sorted(label for _, label in group_episodes(read_results(tmp_path).episodes))
    assert labels == ["gpt H15-B128-ctx5", "gpt H15-B128-ctx5-freq2"]


@pytest.mark.parametrize("key", ["gpt_epoch", "model_epoch"])
def test_original_rollouts_are_read_by_their_folder_names(tmp_path, key):
    write_rollout(tmp_path / "hopper-medium-v2" / "plans" / "defaults" / "retnet_freq1_H10_beam32" / "run", **{key: 49})
    (episode,) = read_results(tmp_path).episodes
    assert (episode.dataset, episode.method, episode.steps) == ("hopper-medium-v2", "retnet H10-B32", 10)


def test_original_rollouts_without_an_arch_are_gpt_and_other_frequencies_are_named(tmp_path):
    write_rollout(tmp_path / "bullet-hopper-medium-v0" / "plans" / "freq5_H15_beam128" / "0", gpt_epoch=50)
    (episode,) = read_results(tmp_path).episodes
    assert (episode.dataset, episode.method) == ("bullet-hopper-medium-v0", "gpt H15-B128-freq5")


def test_unbelievable_files_are_named_and_left_out(tmp_path):
    good = write_episode(tmp_path, 0)
    whole = json.loads(good.read_text())
    bad = {
        1: good.read_text()[:60],
        2: "",
        3: "[]",
        4: '{"hello": "world"}',
        5: json.dumps(whole | {"score": float("nan")}),
        6: json.dumps(whole | {"term": "yes"}),
        8: json.dumps(whole | {"step": True}),
        9: json.dumps(whole | {"settings": None}),
    }
    for number, key in enumerate(("return", "step", "term", "score", "dataset", "seed"), start=20):
        bad[number] = json.dumps({name: value for name, value in whole.items() if name != key})
    bad[29] = json.dumps(whole | {"dataset": "x" * 3000})
    bad[30] = json.dumps(whole | {"return": 10**400})
    bad[31] = bad[30].replace("0" * 400, "0" * 5000)
    for number, text in bad.items():
        (tmp_path / f"episode-{number:03d}.json").write_text(text)
    write_episode(tmp_path, 7, schema_version=99)
    (tmp_path / "episode-010.json").write_bytes(b"\x89HDF\xff\xfe")
    write_rollout(tmp_path / "hopper-medium-v2")
    write_rollout(tmp_path / "somewhere", gpt_epoch=3)
    results = read_results(tmp_path)
    assert [episode.path for episode in results.episodes] == [good]
    assert len(results.warnings) == len(bad) + 4
    assert any("episode-007.json was written by a newer seqrl" in warning for warning in results.warnings)
    for number in [*bad, 10]:
        assert (
            sum(f"episode-{number:03d}.json is not a complete episode" in warning for warning in results.warnings) == 1
        )


def test_other_json_and_files_still_being_written_are_not_looked_at(tmp_path):
    write_episode(tmp_path)
    (tmp_path / "run.json").write_text("{")
    (tmp_path / ".episode-001-abc.tmp.json").write_text("{")
    results = read_results(tmp_path)
    assert len(results.episodes) == 1 and not results.warnings


def test_overlapping_folders_count_each_file_once(tmp_path):
    write_episode(tmp_path / "a")
    write_episode(tmp_path / "b")
    assert len(read_results(tmp_path, tmp_path / "a").episodes) == 2


def test_one_unbelievable_file_asked_for_by_name_is_an_error(tmp_path):
    path = write_episode(tmp_path, score="high")
    with pytest.raises(SeqrlError, match=r"episode-000\.json is not a complete episode: its score"):
        read_result(path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(SeqrlError, match="nowhere"):
        read_results(tmp_path / "nowhere")


def test_runs_are_joined_by_method_or_kept_apart(tmp_path):
    for seed in (1, 2):
        write_episode(tmp_path / f"gpt-s{seed}", run=f"gpt-s{seed}")
    episodes = read_results(tmp_path).episodes
    assert list(group_episodes(episodes)) == [("sim/hopper-medium", "gpt H15-B128-ctx5")]
    labels = [label for _, label in group_episodes(episodes, by="run")]
    assert labels == ["gpt-s1 H15-B128-ctx5", "gpt-s2 H15-B128-ctx5"]


def test_another_recipe_leaves_the_seeds_of_one_together(tmp_path):
    for seed, recipe in ((1, "a"), (2, "a"), (3, "b"), (4, "c")):
        write_episode(tmp_path / f"gpt-s{seed}", run=f"gpt-s{seed}", recipe=recipe)
    write_episode(tmp_path / "mine", run="mine", recipe="c")
    labels = {label: len(group) for (_, label), group in group_episodes(read_results(tmp_path).episodes).items()}
    assert labels == {"gpt-s1,s2 H15-B128-ctx5": 2, "gpt-s3 H15-B128-ctx5": 1, "gpt-s4,mine H15-B128-ctx5": 2}


def test_many_seeds_are_named_by_the_first_and_the_last(tmp_path):
    for seed in (1, 2, 9, 10):
        write_episode(tmp_path / f"odt-s{seed}-online", run=f"odt-s{seed}-online", recipe="a")
    write_episode(tmp_path / "odt-s3-online", run="odt-s3-online", recipe="b")
    labels = [label for _, label in group_episodes(read_results(tmp_path).episodes)]
    assert "odt-s1…s10-online H15-B128-ctx5" in labels


def test_names_without_seeds_where_they_are_clear():
    assert kind_names([["gpt-s1", "gpt-s2"], ["mine"]]) == ["gpt", "mine"]
    assert kind_names([["odt-s1-online8", "odt-s2-online8"], ["odt-s1-online"]]) == ["odt-online8", "odt-s1-online"]


def test_episodes_of_before_the_recipes_had_a_version_are_of_their_runs_recipe(tmp_path):
    """Two seeds, one of them played before and after; a third was made longer since it was played."""
    asked = {"model.arch": "gpt", "train.updates": 5000}
    config = resolve_config("sim/hopper-medium", size="laptop", preset="base", overrides=asked)
    present = recipe_of(config)
    for name, seed, stated, step in (("gpt-s1", 1, "old", 5000), ("gpt-s2", 2, present, 5000), ("gpt-s3", 3, "x", 900)):
        run = tmp_path / name
        write_run_record(run, arch="gpt", seed=seed)
        (run / "config.yaml").write_text(dump_config(config))
        (run / "checkpoints/00005000").mkdir(parents=True)
        folder = run / "plans/H15-B128-ctx5-s0"
        write_episode(folder, run=name, recipe=stated, checkpoint_step=step)
        write_episode(folder, 1, run=name, recipe=present, checkpoint_step=5000)
    found = {(one.run, one.path.name): one.recipe for one in read_results(tmp_path).episodes}
    assert found.pop(("gpt-s3", "episode-000.json")) == "x"
    assert set(found.values()) == {present} and len(found) == 5


def write_seed(
    root: Path, seed: int, config: Config, stated: str | None, step: int, folder: Path | None = None
) -> None:
    """An episode of a run that is here, or with ``folder`` one that was moved away from its run."""
    name = f"gpt-s{seed}"
    run = root / name
    if folder is None:
        write_run_record(run, arch="gpt", seed=seed)
        (run / "config.yaml").write_text(dump_config(config))
        (run / "checkpoints/00005000").mkdir(parents=True)
    write_episode(folder or run / "plans/H15-B128-ctx5-s0", run=name, recipe=stated, checkpoint_step=step)


def test_seeds_of_an_older_recipe_stay_together_wherever_their_episodes_are(tmp_path):
    """One of the newest checkpoint, one of an earlier one, one moved away from its run, and one of today."""
    config = resolve_config("sim/hopper-medium", size="laptop", preset="base", overrides={"train.updates": 5000})
    write_seed(tmp_path, 1, config, "old", 5000)
    write_seed(tmp_path, 2, config, "old", 900)
    write_seed(tmp_path, 3, config, "old", 5000, folder=tmp_path / "moved")
    write_seed(tmp_path, 4, config, recipe_of(config), 5000)
    episodes = read_results(tmp_path).episodes
    assert {one.recipe for one in episodes} == {recipe_of(config)} and len(group_episodes(episodes)) == 1


def test_an_older_recipe_that_two_runs_read_differently_is_left(tmp_path):
    for seed, updates in ((1, 5000), (2, 6000)):  # the second was extended after it was planned
        asked = {"train.updates": updates}
        config = resolve_config("sim/hopper-medium", size="laptop", preset="base", overrides=asked)
        write_seed(tmp_path, seed, config, "old", 5000)
    write_seed(tmp_path, 3, config, "old", 900)
    found = {one.run: one.recipe for one in read_results(tmp_path).episodes}
    assert len(set(found.values())) == 3 and found["gpt-s3"] == "old"


def test_a_link_to_a_device_is_left_out_under_its_own_name(tmp_path):
    (tmp_path / "episode-001.json").symlink_to("/dev/zero")
    (warning,) = read_results(tmp_path).warnings
    assert str(tmp_path / "episode-001.json") in warning and "it is a device" in warning


def test_a_run_that_was_copied_by_hand_counts_once_and_is_known_by_its_folder(tmp_path):
    config = resolve_config("sim/hopper-medium", size="laptop", preset="base")
    write_seed(tmp_path, 1, config, recipe_of(config), 5000)
    plan = tmp_path / "gpt-s1/plans/H15-B128-ctx5-s0"
    shutil.copy(plan / "episode-000.json", plan / "episode-000 (copy).json")
    shutil.copytree(tmp_path / "gpt-s1", tmp_path / "backup")
    episodes = read_results(tmp_path).episodes
    assert sorted(episode.run for episode in episodes) == ["backup", "gpt-s1"]
    (group,) = group_episodes(episodes).values()
    kept, (sentence,) = drop_repeats(group)
    assert len(kept) == 1 and "gpt-s1 repeats backup" in sentence
    assert len(group_episodes(episodes, by="run")) == 2


@pytest.mark.parametrize("key", ["return", "score"])
def test_absurd_numbers_are_left_out(tmp_path, key):
    write_episode(tmp_path / "plans/H15-B128-ctx5-s0", **{key: 1e306})
    (warning,) = read_results(tmp_path).warnings
    assert f"its {key} is 1e+306, which no episode earns" in warning
