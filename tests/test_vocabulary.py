"""Words mean one thing each."""

import pytest

from theradose.vocabulary import ORGANS, QUANTITIES, VOIS, is_target, lesion_name, organ_of, voi_of_label


def test_labels_and_names_are_one_to_one() -> None:
    labels = [voi.label for voi in VOIS.values()]
    assert len(set(labels)) == len(labels)
    assert [voi_of_label(label) for label in labels] == list(VOIS)


def test_lesions_follow_their_label() -> None:
    assert lesion_name(101) == voi_of_label(101) == "lesion_01"
    assert organ_of("lesion_12") == "lesions"
    assert is_target("lesion_12")


def test_an_unknown_label_is_an_error() -> None:
    with pytest.raises(KeyError):
        voi_of_label(77)


def test_regions_are_no_targets() -> None:
    assert not is_target("remainder")
    assert "remainder" not in ORGANS
    assert organ_of("kidney_left") == organ_of("kidney_right") == "kidneys"


def test_a_quantity_whose_name_ends_in_a_unit_has_that_unit() -> None:
    endings = {
        "_gy": "Gy",
        "_mbq": "MBq",
        "_mbq_h": "MBq.h",
        "_h": "h",
        "_g": "g",
        "_ml": "mL",
        "_kg": "kg",
        "_cm": "cm",
    }
    for name, quantity in QUANTITIES.items():
        ending = max((e for e in endings if name.endswith(e)), key=len, default=None)
        if ending:
            assert quantity.unit == endings[ending], name
