"""Where episodes end and which ends are terminals, under every name and in every form that tells it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrl_cli.data.doubtful_ends import doubtful_ends
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.column_names import NAMES, ColumnNames, plain_name
from seqrl_cli.data.formats.columns import ReadOptions, read_columns
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.data.formats.episode_ends import cut_again
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError
from tests.data.files import write_npz, write_pickle, write_raw
from tests.data.recordings import Recording, assert_cut, assert_read

# Time limits after 20 steps, and falls before.
PLAYED = Recording((20, 7, 20, 13, 20, 4, 20, 9), (False, True, False, True, False, True, False, True))
WRITERS = {"npz": (write_npz, ".npz"), "hdf5": (write_raw, ".h5"), "pickle": (write_pickle, ".pkl")}


def read(tmp_path, columns, container="npz", **options) -> tuple[Episodes, ReadOptions]:
    write, suffix = WRITERS[container]
    chosen = ReadOptions(**options)
    return read_dataset(write(tmp_path / f"a{suffix}", columns), chosen), chosen


def test_every_name_has_one_role():
    names = [name for those in NAMES.values() for name in those]
    assert len(names) == len(set(names)) and all(plain_name(name) == name for name in names)
    assert plain_name("TimeLimit.truncated") == "time_limit_truncated" and plain_name("isFirst") == "is_first"
    found = ColumnNames.of(["obs", "observations", "is_last", "info_done_reason", "weights"])
    assert found.first("observations") == "observations" and found.doubtful == ("info_done_reason",)


ENDS = {
    **{name: lambda r: r.truncations for name in NAMES["timeouts"]},
    **{name: lambda r: r.last for name in (*NAMES["ends"], *NAMES["dones"])},
    **{name: lambda r: r.first for name in NAMES["starts"]},
    **{name: lambda r: r.ids for name in NAMES["ids"]},
    **{name: lambda r: r.steps for name in NAMES["steps"]},
    **{name: lambda r: np.array(r.lengths) for name in NAMES["lengths"]},
    "resets": lambda r: r.first,
    "reset": lambda r: r.last,
    "step_type": lambda r: np.where(r.last, 2, np.where(r.first, 0, 1)),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_beside_terminals_under_every_name(name):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, name: ENDS[name](PLAYED)}
    options = ReadOptions()
    assert_read(read_columns(columns, "a file", options), PLAYED)
    assert name == "timeouts" or name in options.log.note
    assert not options.log.warnings


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("name", ["truncations", "dones", "is_first", "episode_id", "episode_lengths", "timesteps"])
def test_ends_in_every_container(tmp_path, container, name):
    episodes, _ = read(
        tmp_path, {**PLAYED.arrays(), "terminated": PLAYED.terminals, name: ENDS[name](PLAYED)}, container
    )
    assert_read(episodes, PLAYED)


@pytest.mark.parametrize("name", NAMES["terminals"])
def test_terminals_under_every_name(name):
    columns = {**PLAYED.arrays(), name: PLAYED.terminals, "truncated": PLAYED.truncations}
    assert_read(read_columns(columns, "a file", ReadOptions()), PLAYED)


OTHER_NAMES = [("obs", "acts", "rews"), ("observation", "action", "reward"), ("states", "act", "rew")]


@pytest.mark.parametrize("names", OTHER_NAMES)
def test_other_names_of_the_other_columns(tmp_path, names):
    columns = dict(zip(names, PLAYED.arrays().values(), strict=True))
    columns |= {"terminated": PLAYED.terminals, "truncated": PLAYED.truncations}
    episodes, options = read(tmp_path, columns)
    assert_read(episodes, PLAYED)
    assert f"{names[0]} as observations" in options.log.note


NUMBERS = {
    "episode_ends": lambda r: np.cumsum(r.lengths),
    "is_last": lambda r: np.cumsum(r.lengths) - 1,
    "starts": lambda r: np.cumsum((0, *r.lengths[:-1])),
    "episode_offsets": lambda r: np.cumsum((0, *r.lengths)),
    "traj_id": lambda r: np.array([f"episode {number}" for number in r.ids]),
    "episode_id": lambda r: (7 * r.ids + 3)[:, None],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_row_numbers_and_texts(tmp_path, name):
    episodes, _ = read(tmp_path, {**PLAYED.arrays(), "terminals": PLAYED.terminals, name: NUMBERS[name](PLAYED)})
    assert_read(episodes, PLAYED)


DONES = {
    "beside terminals": {"done": PLAYED.last, "terminated": PLAYED.terminals},
    "beside terminals and timeouts": {
        **{"done": PLAYED.last, "terminated": PLAYED.terminals, "truncated": PLAYED.truncations}
    },
    "with the timeouts": {"dones": PLAYED.last, "timeouts": PLAYED.truncations},
    "without the timeouts": {"dones": PLAYED.terminals, "timeouts": PLAYED.truncations},
    "where other episodes end, too": {"dones": PLAYED.terminals, "episode_id": PLAYED.ids},
    "where states jump without": {"dones": PLAYED.terminals, "next_obs": PLAYED.following()},
    "as zeros of masks": {"masks": 1.0 - PLAYED.terminals, "dones_float": PLAYED.last},
    "as zeros of discounts": {"discount": 0.99 * ~PLAYED.terminals, "step_type": ENDS["step_type"](PLAYED)},
    "garage": {"step_types": np.where(PLAYED.terminals, 2, np.where(PLAYED.last, 3, np.where(PLAYED.first, 0, 1)))},
}


@pytest.mark.parametrize("what", DONES)
def test_what_dones_mean_beside_other_columns(tmp_path, what):
    assert_read(read(tmp_path, {**PLAYED.arrays(), **DONES[what]})[0], PLAYED)


def test_dones_alone_are_told_by_the_environments_limit(tmp_path):
    for dones in (PLAYED.last, PLAYED.terminals):
        assert_read(read(tmp_path, {**PLAYED.arrays(), "dones": dones}, step_limit=20)[0], PLAYED)


def test_dones_alone_at_one_length_are_its_limit(tmp_path):
    played = Recording((1500,) * 4, (False,) * 4)
    episodes, options = read(tmp_path, {**played.arrays(), "dones": played.last})
    assert_read(episodes, played)
    assert "timeouts after 1,500 steps" in options.log.note


def test_dones_alone_at_any_length_are_terminals(tmp_path):
    played = Recording((12, 7, 13, 5, 9), (True,) * 5)
    assert_read(read(tmp_path, {**played.arrays(), "dones": played.last})[0], played)


def test_dones_that_only_the_user_can_tell(tmp_path):
    columns = {**PLAYED.arrays(), "dones": PLAYED.last}
    with pytest.raises(SeqrlError, match="dones may mark time limits, too") as error:
        read(tmp_path, columns)
    assert "data.dones=terminals" in error.value.hint and "data.dones=ends" in error.value.hint
    assert_read(read(tmp_path, columns, dones="ends")[0], PLAYED)
    assert read(tmp_path, columns, dones="terminals")[0].terminals.sum() == 8
    episodes, options = read(tmp_path, columns, finite=False)
    assert_cut(episodes, PLAYED)
    assert any("data.dones=ends" in warning for warning in options.log.warnings)


def test_dones_under_the_name_of_terminals(tmp_path):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.last}
    episodes, _ = read(tmp_path, columns)
    assert episodes.terminals.sum() == 8
    (doubt,) = doubtful_ends(episodes, 20, "Hopper-v4")
    assert doubt.startswith("4 terminals come after exactly 20 steps, the limit of Hopper-v4")
    assert_read(read(tmp_path, columns, dones="ends")[0], PLAYED)


def test_dones_that_come_a_row_late(tmp_path):
    columns = {**PLAYED.arrays(), "next_observations": PLAYED.following(), "dones": PLAYED.first}
    episodes, _ = read(tmp_path, columns, step_limit=20)
    assert_cut(episodes, PLAYED)


def test_dones_of_the_row_before(tmp_path):
    """CleanRL's buffers; their last row is that of a cut episode."""
    columns = {**PLAYED.arrays(), "dones": PLAYED.first}
    episodes, options = read(tmp_path, columns, step_limit=20)
    assert (episodes.lengths == PLAYED.lengths).all()
    assert "dones marks the first row" in options.log.note


def test_the_columns_of_lerobot(tmp_path):
    arrays = PLAYED.arrays()
    names = {"observations": "observation.state", "actions": "action", "rewards": "next.reward"}
    columns = {names[name]: array for name, array in arrays.items()}
    marks = {"next.done": PLAYED.last, "episode_index": PLAYED.ids, "frame_index": PLAYED.steps}
    assert_cut(read(tmp_path, {**columns, **marks}, step_limit=20)[0], PLAYED)


def in_parts(recording: Recording, **marks) -> list[dict]:
    """One dictionary per episode; marks are functions of an episode's length and whether it fell."""
    return [
        {**one, "observations": one["observations"][:-1]}
        | {name: mark(len(one["rewards"]), fell) for name, mark in marks.items()}
        for one, fell in zip(recording.episodes(), recording.fell, strict=True)
    ]


PARTS = {
    "terminated and truncated": {
        "terminated": lambda n, fell: (np.arange(n) == n - 1) & fell,
        "truncated": lambda n, fell: (np.arange(n) == n - 1) & (not fell),
    },
    "one flag per episode": {"terminal": lambda n, fell: fell},
    "dones that are terminals": {"dones": lambda n, fell: (np.arange(n) == n - 1) & fell},
    "dones and timeouts": {
        "dones": lambda n, fell: np.arange(n) == n - 1,
        "timeouts": lambda n, fell: (np.arange(n) == n - 1) & (not fell),
    },
}


@pytest.mark.parametrize("what", PARTS)
def test_episodes_of_their_own(tmp_path, what):
    parts = in_parts(PLAYED, **PARTS[what])
    assert_read(read(tmp_path, parts, "pickle")[0], PLAYED)
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, part in enumerate(parts):
        write_npz(folder / f"{index}.npz", part)
    assert_read(read_dataset(folder), PLAYED)


def test_dones_of_episodes_of_their_own_are_told_by_all_of_them(tmp_path):
    parts = in_parts(PLAYED, dones=lambda n, fell: np.arange(n) == n - 1)
    assert_read(read(tmp_path, parts, "pickle", step_limit=20)[0], PLAYED)
    with pytest.raises(SeqrlError, match="dones may mark time limits"):
        read(tmp_path, parts, "pickle")


def test_the_observation_after_the_last_step_is_dropped(tmp_path):
    parts = [{**one, "terminal": fell} for one, fell in zip(PLAYED.episodes(), PLAYED.fell, strict=True)]
    assert_read(read(tmp_path, parts, "pickle")[0], PLAYED)


LONG = Recording((200,) * 10, (False,) * 10)


@pytest.mark.parametrize("timeouts", [{}, {"timeouts": np.zeros(2000, bool)}], ids=["none", "all false"])
def test_the_environments_limit_cuts_what_no_column_marks(tmp_path, timeouts):
    columns = {**LONG.arrays(), "terminals": LONG.terminals, **timeouts}
    episodes, options = read(tmp_path, columns, step_limit=200)
    assert_read(episodes, LONG)
    assert options.log.facts == {"cut_after": 200}
    default = [1000, 1000] if not timeouts else [2000]
    episodes, options = read(tmp_path, columns)
    assert episodes.lengths.tolist() == default
    assert_read(cut_again(episodes, 200), LONG)


def test_marks_are_trusted_beyond_the_environments_limit(tmp_path):
    columns = {**LONG.arrays(), "terminals": LONG.terminals, "timeouts": LONG.last}
    episodes, _ = read(tmp_path, columns, step_limit=50)
    assert_read(episodes, LONG)
    (doubt,) = doubtful_ends(episodes, 50, "Pendulum-v1")
    assert doubt.startswith("10 of 10 episodes are longer than the 50 steps of Pendulum-v1, the longest 200")


def test_doubtful_ends():
    ended = np.isin(np.arange(100), (10, 11, 12, 50))
    clusters = Episodes.from_flags(np.zeros((100, 1)), np.zeros((100, 1)), np.zeros(100), ended, np.zeros(100))
    (doubt,) = doubtful_ends(clusters, None, "it")
    assert doubt == "2 of 5 episodes have one step, most of them because terminals follow one another"
    never = np.zeros(2000, bool)
    whole = Episodes.from_flags(np.zeros((2000, 1)), np.zeros((2000, 1)), np.zeros(2000), never, never)
    assert doubtful_ends(whole, None, "it") == [
        "all 2,000 rows are one episode, because no column marks an end in them"
    ]
    usual = Episodes.from_flags(
        np.zeros((100, 1)), np.zeros((100, 1)), np.zeros(100), np.arange(100) % 33 == 32, never[:100]
    )
    assert doubtful_ends(usual.select([0, 1]), 50, "it") == []


UNREAD = {
    "my_reset_flags": PLAYED.first.astype(float),
    "episode_return_reached": PLAYED.ids % 2,
    "termination_cause": np.array(["fell" if row else "" for row in PLAYED.terminals]),
    "done_idxs": np.cumsum(PLAYED.lengths),
    "trajectory_lengths": np.array([3, 4]),
    "is_last": PLAYED.ids,
    "masks": 1 - PLAYED.first,
    "terminations": PLAYED.first,
}


@pytest.mark.parametrize("container", ["npz", "hdf5"])
@pytest.mark.parametrize("name", UNREAD)
def test_no_column_that_may_matter_is_passed_over_in_silence(tmp_path, name, container):
    values = UNREAD[name] if UNREAD[name].dtype.kind != "U" or container == "npz" else UNREAD[name].astype("S")
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, "timeouts": PLAYED.truncations, name: values}
    episodes, options = read(tmp_path, columns, container)
    assert_read(episodes, PLAYED)
    (warning,) = options.log.warnings
    assert name in warning


WEAK = {
    "eoe": PLAYED.last,
    "eof_flag": PLAYED.last,
    "chunk": PLAYED.ids,
    "segment_no": PLAYED.ids,
    "frame": PLAYED.steps,
    "episode_data_index": PLAYED.ids,
}


@pytest.mark.parametrize("container", ["npz", "hdf5"])
@pytest.mark.parametrize("name", WEAK)
def test_what_may_matter_is_named_where_nothing_else_tells_of_ends(tmp_path, name, container):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, name: WEAK[name]}
    _, options = read(tmp_path, columns, container)
    assert any(name in warning for warning in options.log.warnings)


def test_columns_that_do_not_matter_are_not_warned_of(tmp_path):
    columns = {
        **PLAYED.arrays(),
        **{"terminals": PLAYED.terminals, "timeouts": PLAYED.truncations},
        **{"episode_returns": np.zeros(8), "last_action_norm": np.linspace(0, 1, PLAYED.rows), "weights": PLAYED.ids},
        **{"frame": PLAYED.steps, "chunk": PLAYED.ids, "timestamp": np.linspace(0, 1, PLAYED.rows)},
        **{
            "infos/qpos": np.zeros((PLAYED.rows, 4)),
            "discount": np.full(PLAYED.rows, 0.99),
            "masks": 1 - PLAYED.terminals,
        },
    }
    for container in ("npz", "hdf5"):
        episodes, options = read(tmp_path, columns, container)
        assert_read(episodes, PLAYED)
        assert options.log.warnings == [] and options.log.note is None


def test_other_things_under_the_names_of_ends_are_left_out(tmp_path):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, "timeouts": PLAYED.truncations}
    path = write_raw(tmp_path / "a.h5", {**columns, "episodes/0/x": np.zeros(3), "mask/y": np.zeros(3)})
    assert_read(read_dataset(path), PLAYED)
    assert_read(read_dataset(write_npz(tmp_path / "a.npz", columns | {"episode_id": np.array([{}, None])})), PLAYED)
    assert_read(read(tmp_path, {**columns, "traj_id": "a name", "mask": None, "steps": 3}, "pickle")[0], PLAYED)


def test_of_two_columns_the_one_that_marks_rows_is_used(tmp_path):
    empty = np.zeros(PLAYED.rows, bool)
    columns = {"terminals": empty, "terminated": PLAYED.terminals, "timeouts": empty, "truncated": PLAYED.truncations}
    episodes, options = read(tmp_path, PLAYED.arrays() | columns)
    assert_read(episodes, PLAYED)
    assert not options.log.warnings


def test_a_time_limit_among_the_infos_is_warned_of(tmp_path):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, "infos/TimeLimit.truncated": PLAYED.truncations}
    _, options = read(tmp_path, columns, "hdf5")
    assert any("TimeLimit.truncated" in warning for warning in options.log.warnings)


def test_ends_without_terminals_are_time_limits_with_a_warning(tmp_path):
    episodes, options = read(tmp_path, {**PLAYED.arrays(), "episode_starts": PLAYED.first})
    assert_cut(episodes, PLAYED)
    assert not episodes.terminals.any() and "count as step limits" in options.log.warnings[0]


def test_a_dataset_of_ours_is_read_as_it_is(tmp_path):
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals, "timeouts": PLAYED.truncations}
    columns["actions"][PLAYED.first] = 0
    columns["rewards"][PLAYED.first] = 0
    assert read_d4rl(write_raw(tmp_path / "a.h5", columns)).lengths.tolist() == list(PLAYED.lengths)


@st.composite
def marked_recordings(draw) -> tuple[Recording, dict[str, np.ndarray]]:
    """Episodes of any lengths, whose ends are marked by any choice of columns that tells all of them."""
    lengths = draw(st.lists(st.integers(2, 9), min_size=2, max_size=6))
    fell = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    recording = Recording(tuple(lengths), tuple(fell), draw(st.integers(0, 99)))
    terminals = draw(st.sampled_from(NAMES["terminals"]))
    chosen = draw(st.lists(st.sampled_from(sorted(ENDS)), min_size=1, max_size=3, unique=True))
    dtype = draw(st.sampled_from([np.int8, np.float32, np.int64, np.uint8]))
    marks = {name: ENDS[name](recording).astype(dtype) for name in chosen}
    return recording, {terminals: recording.terminals.astype(dtype), **marks}


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(marked_recordings(), st.booleans(), st.sampled_from([None, 1, 5]))
def test_any_marks_give_the_episodes_that_were_played(marked, as_matrix, limit):
    recording, marks = marked
    columns = {**recording.arrays(), **marks}
    if as_matrix:
        columns = {name: column[:, None] if column.ndim == 1 else column for name, column in columns.items()}
    if "timeouts" in marks and recording.truncations.any():
        limit = None  # marks are trusted
    if not recording.truncations.any() and not marks.keys() - {
        *NAMES["terminals"],
        *NAMES["timeouts"],
        *NAMES["dones"],
    }:
        limit = None  # nothing tells that no other episode ends
    assert_read(read_columns(columns, "a file", ReadOptions(default_steps=limit)), recording)


def numbered() -> dict[str, np.ndarray]:
    """Columns in which each row has the number of its episode and its step."""
    columns = {**PLAYED.arrays(), "terminals": PLAYED.terminals}
    return {**columns, "episode_id": PLAYED.ids, "step": PLAYED.steps}


ORDERS = {
    "interleaved": ("episode_id 0 comes back at row 2", lambda rows: np.arange(rows).reshape(2, -1).T.reshape(-1)),
    "shuffled": ("comes back|goes back", lambda rows: np.random.default_rng(0).permutation(rows)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_rows_that_are_not_in_order_are_refused(tmp_path, order):
    match, make = ORDERS[order]
    columns = {name: column[:40] for name, column in numbered().items()}
    columns |= {"episode_id": np.repeat([0, 1], 20), "step": np.tile(np.arange(20), 2)}
    with pytest.raises(SeqrlError, match=match) as error:
        read(tmp_path, {name: column[make(40)] for name, column in columns.items()})
    assert "sort them by episode" in error.value.hint


def test_steps_in_disorder_within_episodes_are_refused(tmp_path):
    columns = numbered()
    rows = len(columns["step"])
    order = np.lexsort((np.random.default_rng(0).random(rows), columns["episode_id"]))
    with pytest.raises(SeqrlError, match="step goes back from"):
        read(tmp_path, {name: column[order] for name, column in columns.items()})


def test_numbers_of_episodes_that_begin_again_in_the_next_recording(tmp_path):
    columns = {name: np.concatenate([column, column]) for name, column in numbered().items()}
    assert read(tmp_path, columns)[0].lengths.tolist() == [*PLAYED.lengths] * 2


def counter(steps: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = len(steps)
    columns = {"observations": rng.normal(size=(rows, 3)), "actions": rng.normal(size=(rows, 2))}
    return {**columns, "rewards": rng.normal(size=rows), "terminals": np.zeros(rows, bool), "timestep": steps}


def test_a_counter_whose_type_is_too_small_counts_on(tmp_path):
    steps = np.concatenate([np.arange(600), np.arange(40), np.arange(600)])
    for kind in (np.uint8, np.int8):
        found, options = read(tmp_path, counter(steps.astype(kind)))
        assert found.lengths.tolist() == [600, 40, 600]
        assert any("none of these is taken for an end" in warning for warning in options.log.warnings)


def test_a_counter_whose_every_restart_may_be_its_types_says_so(tmp_path):
    found, options = read(tmp_path, counter(np.tile(np.arange(256), 3).astype(np.uint8)))
    assert found.lengths.tolist() == [256] * 3
    assert any("these are taken for ends" in warning for warning in options.log.warnings)


def test_a_counter_that_is_rounded_starts_again_at_its_first_number_only(tmp_path):
    steps = np.concatenate([np.arange(900), np.arange(300)]) / 900
    assert read(tmp_path, counter(steps.astype(np.float16)))[0].lengths.tolist() == [900, 300]


def test_numbers_of_one_step_episodes_may_come_again(tmp_path):
    columns = {**counter(np.zeros(40, int)), "terminals": np.ones(40, bool), "trial": np.tile(np.arange(20), 2)}
    assert read(tmp_path, columns)[0].lengths.tolist() == [1] * 40


def test_counters_of_rows_that_take_turns_are_not_read(tmp_path):
    found, options = read(tmp_path, counter(np.repeat(np.arange(100), 4)))
    assert len(found) == 1 and any("timestep is not read" in warning for warning in options.log.warnings)


def test_a_counter_that_counts_down_is_no_disorder(tmp_path):
    columns = {**counter(np.tile(np.arange(20)[::-1], 4)), "episode_id": np.repeat(np.arange(4), 20)}
    assert read(tmp_path, columns)[0].lengths.tolist() == [20] * 4


def test_an_episode_of_one_step_has_a_counter_too(tmp_path, recwarn):
    assert read(tmp_path, counter(np.zeros(1, int)))[0].lengths.tolist() == [1] and not recwarn.list
