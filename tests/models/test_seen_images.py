"""Bad input 67: images of another kind than those learned from: tracer, voxels, centre, noise and blur."""

import json

import numpy as np
import pytest

from theradose.models.seen_images import doubts, usual_quality

CARD = {"tracers": ["Ga-68"], "voxel_mm": [[3.9, 3.9, 3.0], [4.1, 4.1, 3.3]], "centres": ["north", "south"]}
SAME = {"tracer": "Ga-68", "spacing_mm": [4.0, 4.0, 3.2]}


def test_images_of_the_same_kind_raise_no_doubt():
    assert doubts(CARD, SAME, "north") == []


@pytest.mark.parametrize(
    ("pet", "centre", "says"),
    [
        ({**SAME, "tracer": "F-18"}, "north", "PET tracer F-18, the model learned from Ga-68"),
        ({**SAME, "tracer": "not stated"}, "north", "PET tracer not stated"),
        (
            {**SAME, "spacing_mm": [8.0, 8.0, 8.0]},
            "north",
            "PET voxels of 8 x 8 x 8 mm, the model learned from 4.1 x 4.1",
        ),
        ({**SAME, "spacing_mm": [4.0, 4.0, 1.9]}, "north", "PET voxels of 4 x 4 x 1.9 mm"),
        (SAME, "east", "centre east was not among those learned from (north, south)"),
    ],
)
def test_another_kind_is_said_in_words(pet, centre, says):
    (reason,) = doubts(CARD, pet, centre)
    assert says in reason


def test_voxels_a_third_coarser_are_still_of_the_kind():
    assert doubts(CARD, {**SAME, "spacing_mm": [5.4, 5.4, 4.3]}, "south") == []


def test_a_model_without_a_record_and_a_patient_without_pet_raise_none():
    assert doubts({}, SAME, "north") == []
    assert doubts(CARD, {}, "north") == []


def qualities(n, seed=0, noise=(0.1, 0.13)):
    """Return the qualities of n patients of two centres that take turns, and their centres."""
    rng = np.random.default_rng(seed)
    spread = 0.05 * rng.standard_normal((n, 3))
    made = [{"noise": noise[i % 2] * np.exp(a), "grain": 1 + b, "spill": 0.1 * c} for i, (a, b, c) in enumerate(spread)]
    return made, [("north", "south")[i % 2] for i in range(n)]


def card(n=40, **changes):
    return CARD | {"quality": usual_quality(*qualities(n, **changes))}


def test_noise_is_held_to_that_of_the_same_centre():
    own = card()
    assert doubts(own, {**SAME, "quality": {"noise": 0.1, "grain": 1.0, "spill": 0.0}}, "north") == []
    (reason,) = doubts(own, {**SAME, "quality": {"noise": 0.2, "grain": 1.0, "spill": 0.0}}, "north")
    assert "noise" in reason
    assert "0.2, usual at centre north" in reason
    assert doubts(own, {**SAME, "quality": {"noise": 0.05, "grain": 1.0, "spill": 0.0}}, "north") == []
    assert len(doubts(own, {**SAME, "quality": {"noise": 0.1, "grain": 1.0, "spill": -0.5}}, "north")) == 1
    between = {**SAME, "quality": {"noise": 0.13, "grain": 1.0, "spill": 0.0}}
    assert doubts(own, between, "south") == []
    assert len(doubts(own, between, "north")) == 1
    assert len(doubts(own, between, "east")) == 1  # the centre itself: it has no limits


def test_few_ordinary_patients_are_beyond_the_limits():
    made, centres = qualities(1000, seed=1)
    for n in (24, 110):
        own = card(n)
        alarms = np.mean([bool(doubts(own, {**SAME, "quality": q}, c)) for q, c in zip(made, centres, strict=True)])
        assert alarms < 0.05


def test_quality_unknown_in_one_training_patient_or_in_the_new_one_is_no_fault():
    made, centres = qualities(20)
    del made[3]["spill"]
    found = usual_quality(made, centres)
    assert found["names"] == ["noise", "grain", "spill"]
    assert sum(own["patients"] for own in found["centres"].values()) == 19
    assert doubts(CARD | {"quality": found}, {**SAME, "quality": {"noise": 0.1, "spill": 0.0}}, "north") == []
    for own in made[:11]:
        own.pop("spill", None)
    assert usual_quality(made, centres)["names"] == ["noise", "grain"]


def test_few_patients_set_no_limits_and_a_card_is_plain_numbers_without_names():
    assert usual_quality(*qualities(9)) == {}
    assert usual_quality([], []) == {}
    assert usual_quality([{}] * 20, ["north"] * 20) == {}
    found = usual_quality(*qualities(20))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
