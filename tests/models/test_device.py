"""Which devices models take."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import UsageError
from seqrl_cli.models.device import available_memory, choose_device


@pytest.mark.parametrize("name", ["mps", "meta", "xpu:0", "gpu"])
def test_other_kinds_of_devices_are_refused(name):
    with pytest.raises(UsageError, match="does not compute on|unknown device") as error:
        choose_device(name)
    assert "cuda" in error.value.hint


def test_there_is_memory():
    assert available_memory(torch.device("cpu")) > 2**20
