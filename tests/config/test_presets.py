import pytest

from seqrl_cli.config.overrides import dotted_keys, parse_overrides
from seqrl_cli.config.presets import dump_config, load_config, preset_for, preset_names, resolve_config
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError, UsageError

# The table of the Trajectory Transformer's configuration file: what each dataset changes from the base.
ORIGINALS = {
    "halfcheetah-medium-v2": {"plan.horizon": 5, "plan.beam_width": 32},
    "halfcheetah-medium-replay-v2": {"plan.horizon": 5, "plan.beam_width": 32},
    "halfcheetah-medium-expert-v2": {"plan.beam_width": 32, "plan.horizon": 15},
    "hopper-medium-v2": {},
    "hopper-medium-expert-v2": {},
    "hopper-medium-replay-v2": {"train.n_epochs_ref": 80},
    "walker2d-medium-v2": {},
    "walker2d-medium-expert-v2": {"plan.horizon": 5},
    "walker2d-medium-replay-v2": {
        "train.n_epochs_ref": 80,
        "plan.horizon": 20,
        "plan.beam_width": 32,
        "plan.k_act": 40,
        "plan.cdf_act": None,
    },
    "ant-medium-v2": {"train.batch_size": 128, "plan.horizon": 5},
    "ant-medium-replay-v2": {"train.batch_size": 128, "plan.horizon": 5},
    "ant-random-v2": {"train.batch_size": 128, "plan.horizon": 5},
    "ant-medium-expert-v2": {},
    "bullet-halfcheetah-medium-v0": {},
}
BASE = {
    "data.bins": 100,
    "data.discount": 0.99,
    "data.termination_penalty": -100.0,
    "data.discretizer": "quantile",
    "model.n_layer": 4,
    "model.n_head": 4,
    "model.width": 128,
    "model.sequence_length": 10,
    "model.embedding_dropout": 0.1,
    "train.n_epochs_ref": 50,
    "train.batch_size": 256,
    "train.learning_rate": 6e-4,
    "train.action_weight": 5.0,
    "plan.horizon": 15,
    "plan.beam_width": 128,
    "plan.n_expand": 2,
    "plan.k_obs": 1,
    "plan.k_act": None,
    "plan.cdf_act": 0.6,
    "plan.percentile": "mean",
    "plan.max_context_transitions": 5,
    "plan.plan_freq": 1,
    "seed": 42,
}


def value(config: Config, dotted: str):
    found = config.model_dump()
    for part in dotted.split("."):
        found = found[part]
    return found


@pytest.mark.parametrize("dataset", ORIGINALS)
def test_original_presets_are_used_by_dataset_name(dataset):
    config = resolve_config(dataset)
    expected = {**BASE, **ORIGINALS[dataset]}
    assert config.size == "paper" and config.preset == dataset
    assert {key: value(config, key) for key in expected} == expected


@pytest.mark.parametrize("size", ["paper", "laptop"])
def test_every_preset_resolves_at_every_size(size):
    for name in preset_names():
        assert resolve_config("sim/hopper-medium", size=size, preset=name).preset == name


def test_simulated_data_follows_its_d4rl_counterpart():
    assert preset_for("sim/walker2d-medium-replay") == "walker2d-medium-replay-v2"
    assert preset_for("local/mine") == "base"
    assert resolve_config("sim/hopper-medium").size == "laptop"
    assert resolve_config("sim/hopper-medium-replay", size="paper").train.n_epochs_ref == 80


def test_a_recipe_replaces_the_sizes_values_and_yields_to_the_users():
    modern = resolve_config("hopper-medium-v2", overrides={"train.recipe": "modern", "train.learning_rate": 1e-3})
    assert (modern.train.optimizer, modern.train.schedule, modern.train.learning_rate) == ("muon", "linear", 1e-3)
    assert modern.train.batch_size == 256 and modern.model.width == 128  # the size's own
    retnet = resolve_config("x", overrides={"train.recipe": "modern", "model.arch": "retnet"})
    assert retnet.model.dimension_embedding and retnet.model.head_frequencies == modern.model.head_frequencies
    paper = resolve_config("sim/hopper-medium", overrides={"train.recipe": "paper"})
    assert (paper.train.optimizer, paper.train.learning_rate, paper.model.head_frequencies) == ("adamw", 2e-3, 0)
    with pytest.raises(UsageError, match="train.recipe = 'moder'"):
        resolve_config("sim/hopper-medium", overrides={"train.recipe": "moder"})


def test_overrides_win_and_yaml_floats_without_a_dot_are_repaired():
    words = ["train.learning_rate=3e-4", "plan.k_act=null", "data.termination_penalty=-50", "model.mask_values=false"]
    config = resolve_config("hopper-medium-v2", overrides=parse_overrides(words, dotted_keys(Config)))
    assert config.train.learning_rate == 3e-4
    assert config.plan.k_act is None
    assert config.data.termination_penalty == -50.0
    assert config.model.mask_values is False


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["train.learning_rat=1"], "unknown key 'train.learning_rat'", "did you mean 'train.learning_rate'"),
        (["plan.horizon"], "not of the form key=value", "learning_rate=3e-4"),
        (["plan.horizon=[1"], "cannot be read", "quote"),
        (["plan.horizon=many"], "plan.horizon = 'many'", "seqrl presets show"),
        (["plan.horizon=0"], "plan.horizon = 0", "seqrl presets show"),
        (["plan.plan_freq=16"], "plan_freq 16 exceeds the horizon 15", "seqrl presets show"),
        (["data.discretizer=quantil"], "data.discretizer", "seqrl presets show"),
    ],
)
def test_bad_overrides(words, message, hint):
    with pytest.raises(UsageError) as caught:
        resolve_config("hopper-medium-v2", overrides=parse_overrides(words, dotted_keys(Config)))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_unknown_preset_and_size_offer_the_nearest():
    with pytest.raises(UsageError, match="unknown preset 'hoper-medium-v2'") as caught:
        resolve_config("hopper-medium-v2", preset="hoper-medium-v2")
    assert "hopper-medium-v2" in caught.value.hint
    with pytest.raises(UsageError, match="unknown size 'labtop'"):
        resolve_config("hopper-medium-v2", size="labtop")


def test_config_file_round_trip_and_damage(tmp_path):
    config = resolve_config("walker2d-medium-replay-v2", overrides={"seed": 7})
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    for content, words in [
        ("a: [", "cannot be read"),
        ("- 1", "not keys with values"),
        ("# 1", "is empty"),
        ("a: 1", "does not fit"),
    ]:
        path.write_text(content)
        with pytest.raises(SeqrlError, match=words):
            load_config(path)


@pytest.mark.parametrize(
    ("dataset", "preset", "penalty"),
    [
        ("antmaze-umaze-v2", "antmaze", None),
        ("minari/D4RL/antmaze/umaze-v1", "antmaze", None),
        ("kitchen-mixed-v0", "kitchen", None),
        ("relocate-human-v1", "adroit", None),
        ("maze2d-umaze-v1", "maze2d", None),
        ("ant-medium-v2", "ant-medium-v2", -100.0),
        ("local/mine", "base", "auto"),
    ],
)
def test_rewards_at_terminals_are_kept_where_terminals_are_goals(dataset, preset, penalty):
    for arch in ("gpt", "retnet"):
        config = resolve_config(dataset, overrides={"model.arch": arch})
        assert (config.preset, config.data.termination_penalty) == (preset, penalty)


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ({"model.width": 128}, "use model.width=96, 144 or 192, or model.n_head=2"),
        ({"model.width": 7}, "use model.width=6, 12 or 18"),
        ({"model.arch": "retnet", "model.width": 129}, "use model.width=96, 144 or 192"),
        ({"model.arch": "dt", "model.width": 65}, "use model.width=64, 96 or 128"),
        ({"model.n_head": 10**9}, f"use model.width={2 * 10**9} or {4 * 10**9}, or model.n_head=48"),
    ],
)
def test_a_width_that_the_heads_cannot_share_comes_with_widths_that_they_can(keys, hint):
    with pytest.raises(UsageError) as caught:
        resolve_config("local/mine", overrides=keys)
    assert caught.value.hint == hint


def test_a_value_of_no_type_is_named_by_its_key_alone():
    with pytest.raises(UsageError, match="data.termination_penalty = 'many'"):
        resolve_config("local/mine", overrides={"data.termination_penalty": "many"})


@pytest.mark.parametrize("key", ["train.updates", "train.learning_rate", "seed", "plan.percentile"])
def test_true_is_no_number(key):
    with pytest.raises(UsageError, match=f"{key} = 'true': input should "):
        resolve_config("local/mine", overrides={key: True})


def test_true_is_a_flag():
    assert resolve_config("local/mine", overrides={"model.mask_values": True}).model.mask_values is True


def test_an_entry_has_values_of_its_own_at_laptop_size():
    paper, laptop = (resolve_config("sim/walker2d-medium-replay", size=size) for size in ("paper", "laptop"))
    assert (paper.plan.k_act, paper.plan.cdf_act) == (40, None)
    assert (laptop.plan.k_act, laptop.plan.cdf_act, laptop.plan.horizon) == (None, 0.6, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train: {updats: 3}", "there is no key 'train.updats'; did you mean 'train.updates'?"),
        ("datset: sim/hopper-medium", "there is no key 'datset'; did you mean 'dataset'?"),
        ("[1, 2]", "contains a list, not keys with values"),
        ("7", "contains a single value, not keys with values"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_named(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(SeqrlError) as error:
        load_config(path)
    assert message in error.value.message
