"""What a multi-domain model can learn, how, and that a resumed run learns the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from seqrl_cli.data.task_data import TaskData, TaskMixture
from seqrl_cli.data.task_sampler import TaskSampler
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer, TaskWindows
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.task_losses import Part, TaskObjective, summed_losses
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer
from tests.contracts.trainer import same_tensors
from tests.training.fixtures import tiny_task

pytestmark = pytest.mark.slow

PARTS: tuple[Part, ...] = ("actions", "states", "returns")
OBJECTIVES = [subset for count in (1, 2, 3) for subset in itertools.combinations(PARTS, count)]


def tasks(seed: int = 0) -> list[TaskData]:
    return [tiny_task("A-v0", 1, seed), tiny_task("B-v0", 3, seed)]


def model_for(predicts=(), context: int = 2, **changes) -> MultiDomainTransformer:
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "bins": 8, "max_timestep": 10, "choices": 0, **changes}
    return MultiDomainTransformer(
        inputs={name: Input((3,), (name,), (0.0, 0.01)) for name in ("A-v0", "B-v0")},
        context=context,
        predicts=[part for part in predicts if part != "actions"],
        generator=torch.Generator().manual_seed(0),
        **sizes,
    )


def trainer_for(parts=("actions",), context: int = 2, curve: str = "constant", **changes) -> TaskTrainer:
    settings = TaskTrainSettings(
        updates=100,
        seed=0,
        schedule=RateSchedule(curve, 0, 100),
        batch_size=8,
        weights={part: 1.0 for part in parts},
        **changes,
    )
    return TaskTrainer(model_for(parts, context), TaskMixture(tasks()), TaskMixture(tasks(1)), settings)


def run(trainer: TaskTrainer, updates: int) -> TaskTrainer:
    for _ in range(updates):
        trainer.update()
    return trainer


@pytest.mark.parametrize("parts", OBJECTIVES, ids="+".join)
def test_each_objective_lowers_its_own_losses(parts):
    trainer = run(trainer_for(parts), 2)
    first = trainer.measure(validate=True)
    run(trainer, 58).measure(validate=False)
    last = run(trainer, 2).measure(validate=True)
    names = ["loss"] if len(parts) == 1 else ["loss", *(f"loss/{part}" for part in parts)]
    assert [name for name in first if name.startswith("loss")] == names
    assert all(last[name] < first[name] for name in names)
    assert {"validation_loss", "validation_loss/A-v0", "validation_loss/B-v0"} <= last.keys()


def test_heads_exist_only_where_they_are_asked_for():
    plain = model_for().state_dict()
    joint = model_for(PARTS).state_dict()
    added = joint.keys() - plain.keys()
    assert {name.partition(".")[0] for name in added} == {"return_head", "state_heads"}
    assert same_tensors(plain, {name: joint[name] for name in plain})


def test_the_loss_is_the_weighted_sum_of_its_parts():
    sampler = TaskSampler(tasks(), 3, trainer_for().settings.rules, np.random.default_rng(0))
    batch = sampler.next_batches(8)[0][1][0]
    sums = summed_losses(model_for(PARTS).eval(), batch, TaskObjective(dict.fromkeys(PARTS, 1.0)))
    assert [count for _, count in sums.values()] == [
        int(batch.mask[:, :2].sum()),
        int(batch.mask[:, 1:].sum()),
        int(batch.mask[:, :2].sum()),
    ]
    settings = dict(weights={"actions": 1.0, "returns": 0.25})
    trainer = TaskTrainer(
        model_for(PARTS),
        TaskMixture(tasks()),
        None,
        TaskTrainSettings(9, 0, RateSchedule("constant", 0, 9), **settings),
    )
    measured = run(trainer, 1).measure(validate=False)
    assert measured["loss"] == pytest.approx(measured["loss/actions"] + 0.25 * measured["loss/returns"])


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": PARTS, "curve": "plateau", "plateau_every": 3, "patience": 0},
        {"parts": ("states",), "optimizer": "adam", "label_smoothing": 0.1},
        {"optimizer": "lion", "accumulate": 2},
        {"optimizer": "muon", "matrix_rate": 0.02},
        {"optimizer": "lamb", "curve": "plateau", "plateau_every": 2},
    ],
    ids=["plateau", "adam", "lion", "muon", "lamb"],
)
def test_a_resumed_run_learns_the_same(changes):
    whole = run(trainer_for(**changes), 12)
    half = run(trainer_for(**changes), 7)
    resumed = trainer_for(**changes)
    resumed.restore(half.checkpoint())
    run(resumed, 5)
    assert same_tensors(whole.model.state_dict(), resumed.model.state_dict())
    assert whole.checkpoint().state["plateau"] == resumed.checkpoint().state["plateau"]


def test_a_plateau_lowers_the_rate_of_a_run_that_learns_nothing():
    trainer = trainer_for(curve="plateau", plateau_every=1, patience=2, learning_rate=1e-9)
    run(trainer, 6)
    assert trainer.measure(validate=False)["learning_rate"] == pytest.approx(1e-10)


def test_a_plateau_needs_held_out_episodes():
    settings = TaskTrainSettings(9, 0, RateSchedule("plateau", 0, 9))
    with pytest.raises(SeqrlError, match="plateau follows the validation loss"):
        TaskTrainer(model_for(), TaskMixture(tasks()), None, settings)


def test_accumulated_batches_are_averaged():
    one = run(trainer_for(optimizer="lion", learning_rate=1.0), 1).model.state_dict()
    apart = trainer_for(optimizer="lion", learning_rate=1.0, accumulate=2)
    draws = [apart.sampler.next_draws(8) for _ in range(2)]
    batches = [[(draw.weight, apart.sampler.read(draw.starts)) for draw in drawn] for drawn in draws]
    again = iter(draws)
    apart.sampler.next_draws = lambda size: next(again)
    gradients = []
    apart._optimizer.step = lambda: gradients.extend(p.grad.clone() for p in apart.model.parameters())
    apart.update()
    model = model_for().train()
    for drawn in batches:
        for weight, parts in drawn:
            sums = [summed_losses(model, batch, TaskObjective()) for batch in parts]
            loss = sum(each["actions"][0] for each in sums) / sum(each["actions"][1] for each in sums)
            (weight * loss / 2).backward()
    expected = [parameter.grad for parameter in model.parameters()]
    torch.nn.utils.clip_grad_norm_(model.parameters(), apart.settings.grad_clip)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert not same_tensors(one, apart.model.state_dict())


def test_smoothed_targets_give_each_id_a_share():
    batch = TaskSampler(tasks(), 2, trainer_for().settings.rules, np.random.default_rng(0)).next_batches(8)[0][1][0]
    model = model_for().train()
    plain, smooth = (summed_losses(model, batch, TaskObjective(label_smoothing=s))["actions"][0] for s in (0.0, 0.3))
    windows = _seen(model, batch)
    logs = model("A-v0", windows).log_softmax(-1)[torch.from_numpy(batch.mask)]
    torch.testing.assert_close(smooth, 0.7 * plain - 0.3 * logs.mean(-1).sum())
    validated = summed_losses(model.eval(), batch, TaskObjective(label_smoothing=0.3))["actions"][0]
    torch.testing.assert_close(validated, plain)


def _seen(model: MultiDomainTransformer, batch) -> TaskWindows:
    columns = (batch.observations, batch.returns_to_go, batch.actions, batch.rewards, batch.timesteps)
    observations, returns, actions, rewards, times = map(torch.from_numpy, columns)
    bodies = model.body_numbers(batch.group[0], batch.bodies)
    return TaskWindows(observations, returns, model.tokens.encode(actions), rewards, times, bodies)


def test_returns_are_learned_as_a_distribution_that_ignores_the_own_return():
    trainer = run(trainer_for(("returns",), context=1, learning_rate=0.01), 150)
    batch = trainer.sampler.next_batches(64)[0][1][0]
    model = trainer.model.eval()
    windows = _seen(model, batch)
    with torch.no_grad():
        weights, centres = model.return_distribution("A-v0", windows)
        changed = TaskWindows(windows.observations, windows.returns_to_go + 1, *_rest(windows))
        again, _ = model.return_distribution("A-v0", changed)
    assert torch.equal(weights, again) and torch.allclose(weights.sum(-1), torch.ones(()))
    means = (weights * centres).sum(-1)
    real = torch.from_numpy(batch.mask)
    error = (means - windows.returns_to_go)[real].abs().mean()
    spread = (windows.returns_to_go - windows.returns_to_go[real].mean())[real].abs().mean()
    assert error < 0.5 * spread


def _rest(windows: TaskWindows) -> tuple:
    return windows.actions, windows.rewards, windows.timesteps, windows.bodies


def test_a_model_without_returns_says_how_to_learn_them():
    with pytest.raises(SeqrlError, match="does not predict returns-to-go") as error:
        model_for().require_return_head()
    assert "train.objective" in error.value.hint


def test_frozen_parts_stay_whatever_is_predicted():
    model = model_for(PARTS)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("state_heads", "return_head")))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = TaskTrainSettings(9, 0, RateSchedule("constant", 0, 9), weights=dict.fromkeys(PARTS[1:], 1.0))
    run(TaskTrainer(model, TaskMixture(tasks()), None, settings), 3)
    changed = {name.partition(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"state_heads", "return_head"}
