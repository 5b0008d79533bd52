"""Axes, seeds and names of sweeps, and the spaces of searches."""

import pytest

from seqrl_cli.config.grid import Grid, name_of_value, parse_axes, parse_seeds, short_words
from seqrl_cli.config.space import Dimension, parse_space
from seqrl_cli.errors import UsageError

KEYS = ["train.learning_rate", "train.beta1", "train.batch_size", "model.n_layer", "finetune.targets", "tasks.mixing"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1-4", (1, 2, 3, 4)), ("1..3", (1, 2, 3)), ("1,2,5", (1, 2, 5)), ("7", (7,)), ("0-1,9", (0, 1, 9))],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a list of seeds"),
        ("a", "is not a list of seeds"),
        ("1-", "is not a list of seeds"),
        ("-1", "is not a list of seeds"),
        ("3-1", "end before they begin"),
        ("1,1", "twice"),
        ("1-3,2", "twice"),
        ("1-9999999999", "9,999,999,999 seeds"),
        (f"{2**64}", "is larger than"),
    ],
)
def test_what_are_no_seeds(text, message):
    with pytest.raises(UsageError, match=message):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.learning_rat=1"], "unknown key"),
        (["train.learning_rate="], "empty value"),
        (["train.learning_rate=1,,2"], "empty value"),
        (["train.learning_rate=1e-3,0.001"], "which are the same value"),
        (["train.learning_rate=1,1"], "twice"),
        (["train.beta1=0.9", "train.beta1=0.8"], "given twice"),
        (["train.beta1=[0.9,0.8"], "cannot be read"),
    ],
)
def test_axes_that_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        parse_axes(words, KEYS)


def test_true_and_one_are_two_values():
    assert parse_axes(["tasks.mixing=true,1"], KEYS) == {"tasks.mixing": ("true", "1")}


def test_a_grid_is_a_product_in_which_seeds_change_first():
    texts = {"train.learning_rate": ("1e-3", "3e-4"), "train.batch_size": ("8",)}
    grid = Grid(("a", "b"), ("gpt", "retnet"), (1, 2), texts)
    points = list(grid.points())
    assert grid.count == len(points) == 16
    names = [point.name(None, short_words(point.varied)) for point in points[:3]]
    assert names == ["gpt-lr1e-3-s1", "gpt-lr1e-3-s2", "gpt-lr3e-4-s1"]
    assert points[0].axis_values(grid.axes) == {
        "dataset": "a",
        "model.arch": "gpt",
        "train.learning_rate": "1e-3",
        "seed": "1",
    }


def test_a_name_that_the_user_chose_begins_the_names_of_runs():
    (point,) = Grid(("a",), seeds=(3,)).points()
    assert point.name("mine", {}) == "mine-s3" and point.name(None, {}) == "gpt-s3"
    first, _ = Grid(("a",), ("gpt", "dt"), (3,)).points()
    assert first.name("mine", {}) == "mine-gpt-s3"


@pytest.mark.parametrize(
    ("text", "part"),
    [("1e-3", "1e-3"), ("[0.9,0.95]", "0.9-0.95"), ("null", "none"), ("true", "on"), ("-1", "m1"), ("1e+3", "1e3")],
)
def test_values_in_names(text, part):
    assert name_of_value(text) == part


def test_keys_of_one_leaf_have_different_words():
    assert short_words(["train.seed_x", "online.seed_x"]) == {
        "train.seed_x": "trainseedx",
        "online.seed_x": "onlineseedx",
    }


def test_a_space_of_ranges_and_choices():
    words = ["train.learning_rate=log:1e-5..1e-2", "model.n_layer=1..4", "train.batch_size=8,16", "train.beta1=0.9"]
    dimensions, fixed = parse_space(words, KEYS)
    assert dimensions == [
        Dimension("train.learning_rate", "float", 1e-5, 1e-2, log=True),
        Dimension("model.n_layer", "int", 1, 4),
        Dimension("train.batch_size", "choice", choices=("8", "16")),
    ]
    assert fixed == {"train.beta1": ("0.9",)}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.learning_rate=log:0..1", "no logarithm"),
        ("train.learning_rate=1e-2..1e-5", "is empty"),
        ("train.learning_rate=1..1", "is empty"),
        ("train.learning_rate=log:1", "is not a range"),
        ("train.learning_rate=a..b", "is not a range"),
        ("train.learning_rate=1.2.3..4", "is not a range"),
        ("train.learning_rat=1..2", "unknown key"),
    ],
)
def test_spaces_that_are_refused(word, message):
    with pytest.raises(UsageError, match=message):
        parse_space([word], KEYS)


def test_a_key_is_searched_once():
    with pytest.raises(UsageError, match="given twice"):
        parse_space(["train.beta1=0.1..0.9", "train.beta1=0.5"], KEYS)
