"""JSON and YAML that are hostile, damaged, or written by other programs."""

import json
import math
import tracemalloc

import pytest

from seqrl_cli.files.json_text import JsonError, parse_json, read_json
from seqrl_cli.files.regular import TextError
from seqrl_cli.files.yaml_text import YamlError, dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested too deeply"),
        ("9" * 301, "too many digits"),
        ("9" * 5000, "too many digits"),
        ('{\n"a": 1,\n', r"truncated or not JSON \(line 3\)"),
        ("", "truncated or not JSON"),
        ("[" + "1," * 2**23 + "1]", "it has 16,777,219 characters"),
    ],
)
def test_bad_json(text, words):
    with pytest.raises(JsonError, match=words):
        parse_json(text)


def test_json_of_all_usual_kinds(tmp_path):
    deep = json.loads("[" * 98 + "]" * 98)
    value = {"a": [1, -2.5, None, True, "9" * 400, 2**128], "b": {"c": math.inf}, "deep": deep}
    (tmp_path / "file.json").write_text(json.dumps(value))
    assert read_json(tmp_path / "file.json") == value
    assert math.isnan(parse_json(b"NaN"))
    with pytest.raises(TextError):
        parse_json(b"\xff\xfe[\x00")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x\n", "line 2: aliases are not allowed"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("- " * 3000, "nested too deeply"),
        ("a:\n\tb: 1\n", "line 2: a tab, where YAML wants spaces"),
        ("a: [1\nb: 2\n", "line 2: expected ',' or ']'"),
        ("seed: 1\nother: 2\nseed: 3\n", "line 3: the key seed occurs twice"),
        ("a: 1\n---\nb: 2\n", "line 2: expected a single document"),
        ("a: !!python/object:os.system x", "line 1: tags such as os.system are not allowed"),
        ("a: " + "9" * 301, "line 1: a number with too many digits"),
        ("a: 0x" + "f" * 1000, "line 1: a number with too many digits"),
        ("a: \x00", "control character U\\+0000"),
        ("#" * 70_000, "it has 70,000 characters"),
    ],
)
def test_bad_yaml(text, words):
    with pytest.raises(YamlError, match=words):
        parse_yaml(text)


def test_aliases_of_aliases_cost_nothing():
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    tracemalloc.start()
    with pytest.raises(YamlError, match="aliases"):
        parse_yaml("a0: &a0 x\n" + "\n".join(lines) + "\nenv_id: *a9\n")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e3", 1000.0), ("1e-4", 1e-4), ("-1E+2", -100.0), ("3.0", 3.0), (".5", 0.5), ("1.", 1.0), ("1_000", 1000)),
        *(
            ("42", 42),
            ("-7", -7),
            ("0x1F", 31),
            ("0o17", 15),
            ("010", 10),
            ("-08", -8),
            ("-.inf", -math.inf),
            ("true", True),
        ),
        *(("null", None), ("", None), ("3,5", "3,5"), ("1:30", "1:30"), ("2020-13-01", "2020-13-01"), ("'3'", "3")),
        *(("hopper-v2", "hopper-v2"), ("1e3x", "1e3x"), ("[1, 2e1]", [1, 20.0])),
    ],
)
def test_plain_values(text, value):
    found = parse_yaml(text)
    assert found == value and type(found) is type(value)
    assert parse_yaml(f"key: {text}\r\n".replace("\r\n", "\n")) == {"key": value}


def test_texts_that_look_like_numbers_stay_texts():
    texts = ["1e3", "1:30", "2020-01-01", "0x1F", "yes", "", "1_0", "3.0", "null", "[1]", "é"]
    values = {"texts": texts, "numbers": [1e22, 1e-7, 10**20, 3.0, 0, -1]}
    assert parse_yaml(dump_yaml(values)) == values
