import math

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.space import BoxSpace, DiscreteSpace
from seqrl_cli.data.spaces import SizeMismatchError, Spaces, UnsupportedSpacesError

VECTORS = Spaces.of_vectors(11, 3)
BOUNDED = BoxSpace.bounded((3,), "float64", [-1, -math.inf, 0.1], [1, 2, math.inf])
IMAGES = Spaces(BoxSpace.bounded((8, 8, 3), "uint8", 0, 255), DiscreteSpace(4))


def episodes_of(observations, actions) -> Episodes:
    count = len(observations)
    return Episodes.from_flags(observations, actions, np.zeros(count), np.zeros(count), np.zeros(count))


@pytest.mark.parametrize("spaces", [VECTORS, IMAGES, Spaces(BOUNDED, BOUNDED), Spaces(DiscreteSpace(2), BOUNDED)])
def test_spaces_survive_json(spaces):
    assert Spaces.from_json(spaces.to_json()) == spaces
    assert "Infinity" not in spaces.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"observation": 3, "action": 4}', "[" * 100_000])
def test_other_text_describes_no_spaces(text):
    with pytest.raises(ValueError):
        Spaces.from_json(text)


def test_equal_bounds_are_kept_once_and_read_as_arrays():
    images = IMAGES.observation
    assert images.low == (0,) and images.high == (255,)
    low, high = images.bounds
    assert low.shape == high.shape == (8, 8, 3) and high.dtype == np.uint8 and (high == 255).all()
    assert BOUNDED.bounds[0].tolist() == [-1, -math.inf, 0.1]


def test_the_first_observations_have_the_first_bounds():
    assert BOUNDED.first(2) == BoxSpace.bounded((2,), "float64", [-1, -math.inf], [1, 2])
    assert BOUNDED.first(None) == BOUNDED.first(9) == BOUNDED
    assert VECTORS.first_observations(5).sizes == (5, 3)


def test_bounds_and_types_of_vectors_do_not_matter_to_the_fit():
    assert Spaces(BOUNDED, BOUNDED).fits(Spaces.of_vectors(3, 3))
    assert not VECTORS.fits(Spaces.of_vectors(11, 4)) and not VECTORS.fits(IMAGES)
    assert DiscreteSpace(2).fits(DiscreteSpace(3)) and not DiscreteSpace(3).fits(DiscreteSpace(2))


def test_a_mismatch_names_both():
    with pytest.raises(SizeMismatchError) as caught:
        VECTORS.require_fit("one", Spaces.of_vectors(17, 6), "other", "…")
    assert str(caught.value) == "one has observations and actions of sizes (11, 3), but other has sizes (17, 6)"
    with pytest.raises(SizeMismatchError, match=r"shape \(8, 8, 3\) \(uint8\) and actions of 4 discrete"):
        IMAGES.require_fit("one", VECTORS, "other", "…")


CHOICES = Spaces(BoxSpace((4,)), DiscreteSpace(2))
SCREENS = Spaces(IMAGES.observation, BOUNDED)
FLOAT_IMAGES = Spaces(BoxSpace((8, 8, 3)), BOUNDED)


def test_what_takes_only_vectors_says_what_it_got():
    assert VECTORS.require_vectors("data", "…") == (11, 3)
    with pytest.raises(UnsupportedSpacesError, match=r"^the actions of data are discrete \(2 choices\), not vectors"):
        CHOICES.require_vectors("data", "…")
    with pytest.raises(UnsupportedSpacesError, match=r"^data has observations of shape \(8, 8, 3\) \(uint8\) .*, not"):
        SCREENS.require_vectors("data", "…")


def test_policies_read_images_and_planners_say_that_they_do_not():
    for spaces in (VECTORS, CHOICES):
        spaces.require_readable("data", images=False)
    for spaces in (VECTORS, CHOICES, SCREENS, IMAGES):
        spaces.require_readable("data", images=True)
    with pytest.raises(UnsupportedSpacesError) as caught:
        IMAGES.require_readable("data", images=False)
    assert str(caught.value) == "the observations of data are images, which a gpt or a retnet does not read"
    assert caught.value.hint == "for images choose another --arch: dt, odt, bc or mddt"
    for images in (True, False):
        with pytest.raises(UnsupportedSpacesError, match=r"shape \(8, 8, 3\) \(float32\) .* images of bytes"):
            FLOAT_IMAGES.require_readable("data", images=images)


def test_choices_are_as_many_in_one_as_in_the_other():
    more = Spaces(BoxSpace((4,)), DiscreteSpace(3))
    CHOICES.require_fit("data", more, "environment", "…")  # data may lack one
    for pair in [(CHOICES, more), (more, CHOICES)]:
        with pytest.raises(SizeMismatchError, match="discrete choices"):
            pair[0].require_alike("one", pair[1], "other", "…")


def test_episodes_keep_images_and_choices():
    images, choices = np.zeros((6, 8, 8, 3), np.uint8), np.array([0, 2, 1, 0, 0, 1])
    episodes = episodes_of(images, choices)
    assert episodes.observations.dtype == np.uint8 and episodes.actions.dtype == np.int64
    assert episodes.spaces == Spaces(BoxSpace((8, 8, 3), "uint8"), DiscreteSpace(3))
    assert (episodes.observation_dim, episodes.action_dim) == (192, 1)
    assert episodes.select([0]).fingerprint() == episodes.fingerprint()


def test_parts_that_show_fewer_choices_are_joined():
    few, many = (episodes_of(np.zeros((2, 4)), np.array(choices)) for choices in ([0, 0], [0, 2]))
    for parts in ([few, many], [many, few]):
        assert Episodes.concatenate(parts).spaces.action == DiscreteSpace(3)
    with pytest.raises(SizeMismatchError, match="part 1 has observations of size 4 and actions of size 1, but part 0"):
        Episodes.concatenate([few, episodes_of(np.zeros((2, 4)), np.zeros((2, 1)))])
