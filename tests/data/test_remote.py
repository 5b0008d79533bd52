"""Mirrors: how they are written, and where a file is looked for."""

from __future__ import annotations

import pytest

from seqrl_cli.download.mirrors import RemoteFile, locations, parse_mirrors
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.mirrors import Mirror, NetworkAccess

SOURCES = ("d4rl", "minari")
FILE = RemoteFile("http://host/base/sub/a.hdf5", "sub/a.hdf5", alternatives=("https://host/base/sub/a.hdf5",))


def test_mirrors_are_separated_by_commas_and_may_be_for_one_source():
    text = " https://m/x=1 , d4rl=/data/d4rl,minari=http://n, /all here,"
    assert parse_mirrors(text, SOURCES) == (
        Mirror("https://m/x=1"),
        Mirror("/data/d4rl", "d4rl"),
        Mirror("http://n", "minari"),
        Mirror("/all here"),
    )
    assert parse_mirrors("", SOURCES) == ()


@pytest.mark.parametrize(("text", "match"), [("dfour=/data", "'dfour', which is not"), ("d4rl=", "no URL or folder")])
def test_impossible_mirrors(text, match):
    with pytest.raises(UsageError, match=match) as error:
        parse_mirrors(text, SOURCES)
    assert "SEQRL_MIRRORS=" in error.value.hint


def test_mirrors_come_first_and_only_their_own_source():
    network = NetworkAccess((Mirror("http://m/", "d4rl"), Mirror("http://n", "minari")))
    assert locations(FILE, "d4rl", network) == ["http://m/sub/a.hdf5", FILE.url, *FILE.alternatives]
    assert locations(FILE, "minari", network) == ["http://n/sub/a.hdf5", FILE.url, *FILE.alternatives]


@pytest.mark.parametrize("place", ["sub/a.hdf5", "a.hdf5"])
@pytest.mark.parametrize("as_url", [True, False])
def test_a_folder_holds_files_below_their_paths_or_in_one_heap(tmp_path, place, as_url):
    path = tmp_path / "my data" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    root = tmp_path / "my data"
    network = NetworkAccess((Mirror(root.as_uri() if as_url else str(root)),), offline=True)
    assert locations(FILE, "d4rl", network) == [str(path)]
    assert locations(FILE, "minari", network) == ([str(path)] if place == FILE.path else [])


def test_offline_leaves_nothing_of_the_network():
    assert locations(FILE, "d4rl", NetworkAccess((Mirror("http://m"), Mirror("/no/such/folder")), offline=True)) == []
