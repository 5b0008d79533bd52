"""Every policy's decoder keeps the contract of policies."""

from __future__ import annotations

import pytest

from tests.contracts.policy import CHECKS
from tests.models.policies import CHOICES, IMAGE, make_policy

pytestmark = pytest.mark.slow

FORMS = {
    "vectors": {},
    "choices": {"action_dim": CHOICES, "discrete": True},
    "images": {"observation_shape": IMAGE},
    "colour-and-choices": {"observation_shape": (*IMAGE, 3), "action_dim": CHOICES, "discrete": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("arch", "context"), [("dt", 4), ("odt", 4), ("odt", 6), ("bc", 1)])
def test_policies_keep_their_contract(arch, context, check, form):
    check(make_policy(arch, **FORMS[form]), context)
