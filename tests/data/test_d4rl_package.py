"""D4RL's own list: read without running it, and equal to ours."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from seqrl_cli.data.catalogue import list_datasets, resolve
from seqrl_cli.data.d4rl_package import disagreements, installed_list, read_list
from seqrl_cli.errors import SeqrlError

LIST = '''
"""Tables."""
DATASET_URLS = {'a-v0': 'http://host/a.hdf5'}
REF_MIN_SCORE = {'a-v0': -1.5,}
REF_MAX_SCORE = {'a-v0': 2}
for env in ['a', 'b']:
    for kind in ['x', 'y-z']:
        file = env + '_' + kind.replace('-', '_') + '-v2'
        name = file.replace('_', '-')
        DATASET_URLS[name] = 'http://host/%s.hdf5' % file
        REF_MIN_SCORE[name] = REF_MIN_SCORE['a-v0']
'''


def test_tables_and_the_loops_that_fill_them(tmp_path):
    path = tmp_path / "infos.py"
    path.write_text(LIST)
    tables = read_list(path)
    names: dict = {}
    exec(LIST, names)
    assert tables.urls == names["DATASET_URLS"]
    assert tables.urls["b-y-z-v2"] == "http://host/b_y_z-v2.hdf5"
    assert tables.reference_min == names["REF_MIN_SCORE"]
    assert tables.reference_max == {"a-v0": 2}


HOSTILE = {
    "an import": "import os\n",
    "a call": "DATASET_URLS = dict()\n",
    "a call of another method": "DATASET_URLS = {'a': 'b'.format()}\n",
    "an attribute": "DATASET_URLS = ().__class__\n",
    "a function": "def f(): pass\n",
    "a long text": "a = 'x'\nfor i in ['a'] :\n    a = a + a\n" + "a = a + a\n" * 40,
    "many steps": "a = ['x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x']\n"
    + "".join(f"{'    ' * depth}for i in a:\n" for depth in range(8))
    + "    " * 8
    + "b = 'c'\n",
    "a wide format": "a = '%999999999s' % 'b'\n",
    "no tables": "a = 'b'\n",
    "an unknown name": "a = b\n",
    "no Python": "DATASET_URLS = {\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(tmp_path, name):
    path = tmp_path / "infos.py"
    path.write_text(HOSTILE[name])
    with pytest.raises(SeqrlError, match="cannot read D4RL's list"):
        read_list(path)


def test_ours_equals_d4rls():
    """Of the installed package, or of the file that $SEQRL_D4RL_INFOS names."""
    named = os.environ.get("SEQRL_D4RL_INFOS")
    path = Path(named) if named else installed_list()
    if path is None:
        pytest.skip("the d4rl package is not installed: pip install --no-deps d4rl")
    tables = read_list(path)
    ours = {spec.id: spec for spec in list_datasets() if spec.source == "d4rl"}
    left_out = {name for name in tables.urls if name not in ours}
    assert all(name.startswith(("minigrid-", "flow-", "carla-", "bullet-maze2d-")) for name in left_out)
    assert disagreements(path, ours.values()) == []


def test_a_difference_is_told(tmp_path):
    path = tmp_path / "infos.py"
    spec = resolve("maze2d-umaze-v1")
    tables = {"DATASET_URLS": spec.url, "REF_MIN_SCORE": spec.reference_min, "REF_MAX_SCORE": spec.reference_max}
    path.write_text("\n".join(f"{name} = {{'{spec.id}': {value!r}}}" for name, value in tables.items()))
    assert disagreements(path, [spec]) == []
    assert disagreements(path, [replace(spec, reference_max=1.0)]) == [spec.id]
