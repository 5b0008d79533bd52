"""Values as text: typed, read back, and shortened."""

import pytest

from seqrl_cli.config.overrides import parse_overrides
from seqrl_cli.config.value_text import short_text, split_values, value_text


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,3e-4", ("1e-3", "3e-4")),
        ("[0.9,0.95]", ("[0.9,0.95]",)),
        ("[1,2],[3]", ("[1,2]", "[3]")),
        ("{a: 1, b: 2},null", ("{a: 1, b: 2}", "null")),
        ('"a,b",c', ('"a,b"', "c")),
        ("", ("",)),
        ("1,", ("1", "")),
        ("it's,2", ("it's", "2")),
        ('"a,b", "c,d"', ('"a,b"', '"c,d"')),
        ('["a]",1],2', ('["a]",1]', "2")),
        ("['a,]',1],2", ("['a,]',1]", "2")),
        ('"x\\",y",z', ('"x\\",y"', "z")),
        ('{a: "},"},1', ('{a: "},"}', "1")),
        ('5", 7', ('5"', "7")),
    ],
)
def test_commas_outside_of_brackets_and_quotes_separate_values(text, values):
    assert split_values(text) == values


@pytest.mark.parametrize(
    "value",
    [
        1,
        1e-05,
        0.1,
        None,
        True,
        "text",
        "1",
        "a,b",
        "",
        "null",
        [1, "x"],
        {"a": 1},
        "it's",
        'x",y',
        "😀,",
        "a]",
        "\n",
        "é",
        "a\x85b",
        "\x80\u2028",
    ],
)
def test_a_value_survives_being_typed(value):
    text = value_text(value)
    assert split_values(text) == (text,)
    assert parse_overrides([f"train.beta1={text}"], ["train.beta1"]) == {"train.beta1": value}


def test_labels_have_six_digits_at_most():
    values = [1.0, 0.1 + 0.2, 3e-4, 1e6, 7, None, True, (0.9, 0.95), "auto", "null"]
    texts = ["1", "0.3", "0.0003", "1e+06", "7", "null", "true", "[0.9, 0.95]", "auto", '"null"']
    assert [short_text(value) for value in values] == texts
