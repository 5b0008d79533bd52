"""``seqrl plot``: what is drawn is what runs logged and planned, joined over seeds; pictures are written whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from seqrl_cli.runs.lock import locked
from tests.cli.conftest import invoke, succeed

pytestmark = pytest.mark.slow

GPT = "sim/hopper-medium/gpt-s42"


def drawn(runs: Path, *words: object) -> dict:
    """What a plot shows, by kind."""
    return {panel["kind"]: panel for panel in drawn_all(runs, *words)}


def drawn_all(runs: Path, *words: object) -> list[dict]:
    """All panels of a plot; some kinds have several."""
    report = json.loads(succeed(runs, "plot", *words, "--json", "--quiet").stdout)
    assert Path(report["path"]).exists()
    return report["panels"]


def add_seed(runs: Path, seed: int, shift: float, last_step: int) -> None:
    """Another seed of the run, whose losses are so much higher and which got so far."""
    folder = shutil.copytree(runs / GPT, runs / f"sim/hopper-medium/gpt-s{seed}")
    for name, old, new in (("run.json", '"seed": 42', f'"seed": {seed}'), ("config.yaml", "seed: 42", f"seed: {seed}")):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["loss"] += shift
    kept = [json.dumps(line) + "\n" for line in lines if line["step"] <= last_step]
    (folder / "metrics.jsonl").write_text("".join(kept))


def metrics(runs: Path) -> list[dict]:
    return [json.loads(line) for line in (runs / GPT / "metrics.jsonl").read_text().splitlines()]


def test_a_run_shows_all_it_has(runs):
    panels = drawn(runs)
    assert list(panels) == ["loss", "reward", "score", "time"]
    training, held_out = panels["loss"]["series"]
    logged = metrics(runs)
    assert training["x"] == [line["step"] for line in logged] and training["y"] == [line["loss"] for line in logged]
    assert held_out["x"] == [line["step"] for line in logged if line["validation_loss"] is not None]
    assert training["low"] is None and held_out["label"] == "gpt"
    episodes = sorted((runs / GPT).glob("plans/*/episode-*.json"))
    records = [json.loads(path.read_text()) for path in episodes]
    (score,) = panels["score"]["dots"]
    assert score["values"] == pytest.approx([100 * record["score"] for record in records])
    (time,) = panels["time"]["dots"]
    assert time["mean"] == pytest.approx(np.mean([record["seconds_per_step"] for record in records]))
    assert (runs / GPT / "plots/all.png").exists()


def test_reward_so_far_of_an_ended_episode_stays(runs):
    first, second = sorted((runs / GPT).glob("plans/*/episode-*.h5"))
    for path, rewards in ((first, [1.0, 2.0, 3.0]), (second, [4.0])):
        with h5py.File(path, "r+") as file:
            del file["rewards"]
            file["rewards"] = np.array(rewards, np.float32)
    (line,) = drawn(runs, "gpt-s42", "--kind", "reward")["reward"]["series"]
    assert line["x"] == [0, 1, 2, 3] and line["y"] == [0, 2.5, 3.5, 5]
    assert line["high"][3] - line["y"][3] == pytest.approx(1.0)  # the bootstrap's interval of 6 and 4


def test_seeds_are_joined_up_to_where_all_have_got(runs):
    add_seed(runs, 1, shift=2.0, last_step=3)
    (training, held_out) = drawn(runs, "sim/hopper-medium", "-k", "loss")["loss"]["series"]
    logged = metrics(runs)[:3]
    assert training["x"] == [1, 2, 3] and training["count"] == 2 and held_out["label"] == "gpt, 2 seeds"
    assert training["y"] == pytest.approx([line["loss"] + 1.0 for line in logged])
    assert training["high"][0] - training["y"][0] == pytest.approx(12.706, abs=1e-3)
    apart = drawn(runs, "gpt-s42", "gpt-s1", "-k", "loss", "--by", "run")["loss"]["series"]
    assert [each["label"] for each in apart if not each["faint"]] == ["gpt-s42", "gpt-s1"]
    assert (runs / "sim/hopper-medium/plots/loss.png").exists()


def test_losses_that_cannot_be_compared_are_kept_apart(runs):
    add_seed(runs, 1, shift=0.0, last_step=9)
    record = runs / "sim/hopper-medium/gpt-s1/run.json"
    record.write_text(record.read_text().replace('"gpt"', '"odt"'))
    panels = json.loads(succeed(runs, "plot", "gpt-s42", "gpt-s1", "-k", "loss", "--json").stdout)["panels"]
    units = [panel["y_label"] for panel in panels]
    assert units == ["cross-entropy (nats per token), actions × 5", "negative log-likelihood of actions (nats)"]


def test_losses_with_other_weights_are_kept_apart(runs):
    add_seed(runs, 1, shift=0.0, last_step=9)
    config = runs / "sim/hopper-medium/gpt-s1/config.yaml"
    text = config.read_text().replace("action_weight: 5.0", "action_weight: 1.0")
    config.write_text(text.replace("value_weight: 1.0", "value_weight: 0.5"))
    panels = json.loads(succeed(runs, "plot", "gpt-s42", "gpt-s1", "-k", "loss", "--json").stdout)["panels"]
    assert [panel["y_label"].partition("), ")[2] for panel in panels] == ["actions × 5", "values × 0.5"]


def test_online_seeds_meet_at_the_places_of_all(runs):
    add_seed(runs, 1, shift=0.0, last_step=9)
    for name, steps in (("gpt-s42", [0, 100, 400]), ("gpt-s1", [0, 200, 300])):
        lines = [online_metrics(i, step, 1.0 * step) for i, step in enumerate(steps)]
        (runs / f"sim/hopper-medium/{name}/metrics.jsonl").write_text("".join(lines))
    (line,) = drawn_all(runs, "sim/hopper-medium", "-k", "online")[0]["series"]
    assert line["x"] == line["y"] == [0, 100, 200, 300]


def online_metrics(iteration: int, steps: int, evaluation_return: float | None) -> str:
    common = {"loss": 0.5, "nll": 0.4, "entropy": 1.0, "temperature": 0.1, "learning_rate": 1e-4, "buffer": 3}
    common |= {"exploration_return": None, "exploration_length": None, "buffer_return": 9.0, "evaluation_length": 20.0}
    common |= {"evaluation_return": evaluation_return, "evaluation_score": None, "elapsed": 1.0}
    common |= {"iteration": iteration, "step": 10 * iteration, "env_steps": steps, "episodes": iteration}
    return json.dumps(common) + "\n"


def test_online_runs_show_returns_against_steps(runs):
    lines = [online_metrics(i, 100 * i, earned) for i, earned in enumerate([50.0, None, 70.0])]
    (runs / GPT / "metrics.jsonl").write_text("".join(lines))
    evaluated, entropy, temperature = drawn_all(runs, "gpt-s42", "-k", "online")
    (line,) = evaluated["series"]
    assert (line["x"], line["y"]) == ([0, 200], [50, 70]) and evaluated["y_label"] == "return"
    assert entropy["series"][0]["y"] == [1.0] * 3 and temperature["series"][0]["y"] == [0.1] * 3
    (loss,) = drawn_all(runs, "gpt-s42", "-k", "loss")
    assert loss["series"][0]["x"] == [0, 10, 20] and loss["series"][0]["y"] == [0.4] * 3


def fine_tuned(runs: Path, name: str, seed: int, iterations: int, earned: float) -> None:
    """A child of the run, as far as its record, settings and log tell."""
    add_seed(runs, seed, shift=0.0, last_step=0)
    folder = (runs / f"sim/hopper-medium/gpt-s{seed}").rename(runs / f"sim/hopper-medium/{name}")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"parent": "gpt-s42"}))
    config = f"dataset: sim/hopper-medium\nseed: {seed}\nmodel: {{arch: odt}}\ntrain: {{updates: 9}}\n"
    (folder / "config.yaml").write_text(f"{config}online: {{iterations: {iterations}}}\n")
    lines = [online_metrics(i, 100 * i, earned) for i in range(3)]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_fine_tunes_of_other_settings_are_other_lines_and_repeats_of_a_seed_count_once(runs):
    for name, seed, iterations, earned in (("a", 1, 5, 10.0), ("b", 1, 5, 20.0), ("c", 2, 5, 30.0), ("d", 1, 9, 90.0)):
        fine_tuned(runs, name, seed, iterations, earned)
    folders = [f"sim/hopper-medium/{name}" for name in "abcd"]
    joined, alone = drawn_all(runs, *folders, "-k", "online")[0]["series"]
    assert joined["label"] == "a,b,c, 2 seeds in 3 runs" and joined["count"] == 2
    assert joined["y"] == [22.5] * 3 and alone["y"] == [90.0] * 3 and alone["label"] == "d"
    (line,) = drawn_all(runs, *folders[:2], "-k", "online")[0]["series"]
    assert line["low"] is None and line["label"] == "gpt online, 2 runs of one seed"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_pictures_are_whole(runs, tmp_path, suffix):
    log = runs / GPT / "metrics.jsonl"
    log.write_text(log.read_text().replace(f'"loss": {metrics(runs)[1]["loss"]}', '"loss": NaN'))
    path = tmp_path / f"picture.{suffix}"
    assert succeed(runs, "plot", "-o", path).stdout.strip() == str(path)
    start = {"pdf": b"%PDF", "svg": b"<?xml"}
    if suffix == "png":
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        assert {(0x00, 0x72, 0xB2), (255, 255, 255)} <= {tuple(pixel) for pixel in np.unique(pixels, axis=0)}
    else:
        assert path.read_bytes().startswith(start[suffix])
    assert [file.name for file in tmp_path.glob("*picture*")] == [path.name]


def leave(runs: Path, status: str) -> None:
    """Let the run's record say how it stands."""
    record = runs / GPT / "run.json"
    record.write_text(record.read_text().replace('"finished"', f'"{status}"'))


@pytest.mark.parametrize(
    ("status", "said"), [("running", "was killed while training"), ("failed", "failed while training")]
)
def test_an_unfinished_run_is_drawn_as_far_as_it_has_got(runs, status, said):
    leave(runs, status)
    assert f"{GPT} {said}: the plot shows it up to now" in succeed(runs, "plot").stderr
    assert "up to now" not in succeed(runs, "plot", "-k", "score").stderr  # plans are there or not


def test_a_run_that_has_logged_nothing_yet(runs):
    shutil.rmtree(runs / GPT / "plans")
    (runs / GPT / "metrics.jsonl").unlink()
    leave(runs, "running")
    with locked(runs / GPT):
        result = invoke(runs, "plot")
        assert f"nothing has been logged or planned yet for {GPT}, which is still training" in result.stderr
        assert result.exit_code == 1 and "hint: `seqrl runs` shows how far" in result.stderr
        result = invoke(runs, "plot", "--kind", "loss")
        assert f"there is nothing of the kind loss to plot for {GPT}, which is still training" in result.stderr


def test_kinds_that_a_run_does_not_have_yet_are_left_out(runs):
    told = json.loads(succeed(runs, "plot", "-k", "loss", "-k", "online", "--dry-run", "--json").stdout)
    assert told["shows"] == ["loss"]
    assert "there is nothing of the kind online to plot" in succeed(runs, "plot", "-k", "loss", "-k", "online").stderr


def test_the_same_command_twice_draws_once(runs):
    path = Path(succeed(runs, "plot").stdout.strip())
    before = path.stat().st_mtime_ns
    assert "already exists" in succeed(runs, "plot").stderr and path.stat().st_mtime_ns == before
    succeed(runs, "plot", "--force")
    forced = path.stat().st_mtime_ns
    log = runs / GPT / "metrics.jsonl"
    log.touch()  # a newer file with the same content gives the same picture
    succeed(runs, "plot")
    assert before < forced == path.stat().st_mtime_ns
    log.write_text(log.read_text().replace(f'"loss": {metrics(runs)[1]["loss"]}', '"loss": 9.5'))
    succeed(runs, "plot")
    assert forced < path.stat().st_mtime_ns


def test_another_choice_of_runs_or_lines_is_another_picture(runs):
    for seed in (1, 2):
        add_seed(runs, seed, shift=seed, last_step=3)
    pictures, reports = [], []
    for words in (("gpt-s42", "gpt-s1"), ("gpt-s42", "gpt-s1", "gpt-s2"), ("gpt-s42", "gpt-s1", "--by", "run")):
        reports.append(json.loads(succeed(runs, "plot", *words, "-k", "loss", "--json").stdout))
        pictures.append(Path(reports[-1]["path"]).read_bytes())
    assert len({report["path"] for report in reports}) == 1 and all(report["fresh"] for report in reports)
    assert len(set(pictures)) == 3


def test_a_broken_picture_is_drawn_again(runs):
    path = Path(succeed(runs, "plot", "-k", "loss").stdout.strip())
    whole = path.read_bytes()
    for broken in (b"", b"no picture", whole[:20]):
        path.write_bytes(broken)
        succeed(runs, "plot", "-k", "loss")
        assert path.read_bytes() == whole


def test_a_dry_run_writes_nothing(runs):
    told = json.loads(succeed(runs, "plot", "--dry-run", "--json").stdout)
    assert told["shows"] == ["loss", "reward", "score", "time"] and not list(runs.rglob("plots"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-k", "los"), 2, "did you mean 'loss'"),
        (("--by", "seed"), 2, "unknown grouping 'seed'"),
        (("-o", "picture.xyz"), 2, "cannot write a picture as .xyz"),
        (("gpt-s43",), 1, "no run 'gpt-s43'"),
        (("-k", "online"), 1, "there is nothing of the kind online to plot"),
    ],
)
def test_what_cannot_be_drawn(seqrl, words, code, message):
    result = seqrl("plot", *words)
    assert result.exit_code == code and message in " ".join(result.output.split()) and "hint: " in result.output


def test_nothing_to_draw_in_an_empty_place(tmp_path):
    result = invoke(tmp_path / "empty", "plot")
    assert result.exit_code == 1 and "no run in" in result.output


def test_help_needs_no_matplotlib():
    assert imports_little("plot", "--help")


def test_a_name_that_is_no_pictures_is_refused_at_once():
    assert imports_little("plot", "-o", "x.jpg")


def imports_little(*words: str) -> bool:
    """Whether a command ends without importing what takes seconds."""
    code = f"import sys; from seqrl_cli.cli.app import app\ntry: app({list(words)})\nexcept SystemExit: pass\n"
    code += "assert not {'matplotlib', 'torch', 'numpy'} & set(sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
