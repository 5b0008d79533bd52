"""Videos are whole, play at the speed asked for, and leave nothing behind when they fail."""

from __future__ import annotations

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.render.encode import write_video


def moving_bar(index: int) -> np.ndarray:
    frame = np.full((48, 64, 3), 240, dtype=np.uint8)
    frame[:, 4 * index : 4 * index + 8] = (200, 40, 40)
    return frame


def test_gif_has_every_frame_and_holds_the_last(tmp_path):
    path = tmp_path / "bar.gif"
    write_video(moving_bar, 10, path, fps=25)
    gif = Image.open(path)
    assert gif.n_frames == 10 and gif.info["loop"] == 0
    durations = []
    for index in range(10):
        gif.seek(index)
        durations.append(gif.info["duration"])
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - moving_bar(index)).mean() < 3
    assert durations == [40] * 9 + [1040]


def test_mp4_has_every_frame_and_holds_the_last(tmp_path):
    path = tmp_path / "bar.mp4"
    write_video(moving_bar, 10, path, fps=20)
    with imageio.get_reader(path) as reader:
        frames = [np.asarray(frame) for frame in reader]
        assert reader.get_meta_data()["fps"] == pytest.approx(20)
    assert len(frames) == 30
    assert frames[0].shape == (48, 64, 3)
    assert np.abs(frames[5].astype(int) - moving_bar(5)).mean() < 8


@pytest.mark.parametrize("name", ["video.avi", "video"])
def test_other_formats_are_refused_before_anything_is_drawn(tmp_path, name):
    with pytest.raises(UsageError, match="video"):
        write_video(lambda index: pytest.fail("drawn"), 3, tmp_path / name, fps=20)


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SeqrlError, match="file"):
        write_video(moving_bar, 3, tmp_path / "file" / "video.gif", fps=20)


@pytest.mark.parametrize("name", ["video.gif", "video.mp4"])
def test_a_failure_half_way_keeps_what_stood_there(tmp_path, name):
    def failing(index: int) -> np.ndarray:
        if index == 3:
            raise KeyboardInterrupt
        return moving_bar(index)

    path = tmp_path / name
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        write_video(failing, 5, path, fps=20)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_full_disk_is_named_as_such_when_ffmpeg_meets_it(tmp_path, monkeypatch):
    encoder = tmp_path / "ffmpeg"
    lines = "[out] Error writing trailer: No space left on device\\n[out] Error closing file: No space left on device"
    encoder.write_text(f"#!/bin/sh\ncat >/dev/null; printf '{lines}' >&2; exit 1\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    path = tmp_path / "videos" / "bar.mp4"
    with pytest.raises(SeqrlError) as caught:
        write_video(moving_bar, 3, path, fps=20)
    assert caught.value.message == f"cannot write {path}: the disk is full"
    assert not list(path.parent.iterdir())
