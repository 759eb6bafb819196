"""Bad input 67: images of another kind than those learned from: tracer, voxels, centre."""

import pytest

from theradose.models.seen_images import doubts

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
