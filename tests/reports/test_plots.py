"""Every picture is written whole, in the format that its name asks for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seqrl_cli.errors import UsageError
from seqrl_cli.reports.plots import (
    Bar,
    Curve,
    curve,
    plot_averages,
    plot_returns,
    plot_step_times,
    plot_training,
)
from seqrl_cli.training.metrics import Metrics

CURVE = Curve((0, 10, 20), (5.0, 3.0, 2.5))
BARS = [Bar("gpt H5-B32", 1400.0, (1200.0, 1600.0), (1100.0, 1700.0)), Bar("dt", 900.0)]


@pytest.mark.parametrize("suffix", ["png", "pdf"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plot_training({"gpt-s42": (CURVE, CURVE), "dt-s1": (CURVE, Curve((), ()))}, path),
        lambda path: plot_returns(BARS, path, {"random policy": 18.0}),
        lambda path: plot_averages(BARS, path),
        lambda path: plot_step_times({"gpt": [(15, 0.4), (5, 0.2)]}, path),
    ],
)
def test_pictures_are_written(tmp_path, draw, suffix):
    path = tmp_path / f"picture.{suffix}"
    draw(path)
    if suffix == "png":
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape[0] > 300 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    else:
        assert path.read_bytes().startswith(b"%PDF") and path.read_bytes().rstrip().endswith(b"%%EOF")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_bars_have_the_papers_colours(tmp_path):
    path = tmp_path / "bars.png"
    plot_averages([Bar(name, 50.0) for name in ("BC", "CQL", "DT", "TT")], path)
    colours = {tuple(pixel) for pixel in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}
    assert {(0xB4, 0xB4, 0xB4), (0xF6, 0xC7, 0x81), (0xEC, 0x7C, 0x7D), (0x70, 0xAB, 0xCC)} <= colours


def test_an_unknown_extension_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"\.xyz"):
        plot_averages(BARS, tmp_path / "picture.xyz")
    assert not list(tmp_path.iterdir())


def test_a_curve_has_the_log_steps_that_have_a_number():
    log = [Metrics(1, 0.1, 3.0, None, 6e-4, 9e3, 1.0), Metrics(2, 0.2, 2.0, 2.5, 5e-4, 9e3, 2.0)]
    assert curve(log, "loss") == Curve((1, 2), (3.0, 2.0))
    assert curve(log, "validation_loss") == Curve((2,), (2.5,))
    assert curve([], "loss") == Curve((), ())
