"""Some groups of a model's own parameters are trained, the others are frozen."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.adapters import GROUPS, train_only
from tests.models.adapters.adapted import ALL, ARCHITECTURES, make
from tests.models.policies import make_policy


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_groups_are_parts_of_the_model(arch):
    model, _ = make(arch)
    names = {name for name, _ in model.named_parameters()}
    found = {}
    for group in GROUPS:
        share = train_only(model, [group])
        found[group] = trained(model)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        assert share.trainable == sum(sizes[name] for name in found[group])
        assert share.total == sum(sizes.values())
    assert found["all"] == names
    assert found["head"] == {name for name in names if name.startswith("head.")}
    last = len(model.blocks) - 1
    assert found["last-layers"] == {name for name in names if name.startswith((f"blocks.{last}.", "norm.", "head."))}
    assert found["encoders"] == {name for name in names if not name.startswith(("blocks.", "norm.", "head."))}
    assert found["norms"] == {name for name in names if "norm" in name}
    assert all(found.values())


def test_groups_are_joined_and_the_rest_does_not_move():
    model, run = make("mddt")
    share = train_only(model, ["head", "norms"])
    assert trained(model) == {
        name for name, _ in model.named_parameters() if name.startswith("head.") or "norm" in name
    }
    assert str(share) == f"{share.trainable:,} of {share.total:,} parameters ({100 * share.fraction:.2f} %)"
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    run(ALL).square().sum().backward()
    optimizer.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == trained(model)


def test_unknown_and_empty_groups_are_refused():
    model, _ = make("dt")
    with pytest.raises(UsageError, match="'heads'") as refused:
        train_only(model, ["heads"])
    assert "did you mean 'head'" in refused.value.hint
    with pytest.raises(SeqrlError, match="nothing is trained"):
        train_only(model, [])
    with pytest.raises(SeqrlError, match="BehaviourCloning has no parameters in the group 'norms'"):
        train_only(make_policy("bc"), ["norms"])
    assert len(trained(model)) == len(list(model.parameters()))
