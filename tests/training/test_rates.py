import pytest

from seqrl_cli.training.rates import RateSchedule


@pytest.mark.parametrize("curve", ["constant", "cosine", "restarts", "step", "exponential"])
def test_the_rate_warms_up_and_never_exceeds_the_full_one(curve):
    schedule = RateSchedule(curve, 10, 110, 0.05)
    factors = [schedule.factor(step) for step in range(120)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(factors) <= 1.0 and min(factors) > 0


@pytest.mark.parametrize(
    ("curve", "middle", "last"),
    [("constant", 1.0, 1.0), ("cosine", 0.525, 0.05), ("step", 0.1, 0.01), ("exponential", 0.05**0.5, 0.05)],
)
def test_curves(curve, middle, last):
    schedule = RateSchedule(curve, 0, 100, 0.05)
    assert schedule.factor(50) == pytest.approx(middle)
    assert schedule.factor(100) == pytest.approx(last)


def test_restarts_return_to_the_full_rate():
    schedule = RateSchedule("restarts", 0, 100, 0.0)
    assert schedule.factor(25) == schedule.factor(50) == schedule.factor(0) == 1.0
