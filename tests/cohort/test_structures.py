"""Names of structures as labels: organs by their names, lesions by their numbers, and what is drawn of them."""

import numpy as np
import pytest

from theradose.cohort.structures import known_label, labels_by_number, labels_of
from theradose.imaging.rtstruct import Roi


def roi(number, name):
    return Roi(number, name, (np.zeros((3, 3)),), 0)


def test_lesions_keep_their_own_numbers_and_others_follow_in_natural_order() -> None:
    names = ["lesion_05", "lesion_100", "tumour 10", "tumour 9", "Kidney_L", "lesion_01"]
    labels = labels_of([[roi(i, name) for i, name in enumerate(names)]])
    assert labels == {
        "lesion 05": 105, "lesion 100": 200, "tumour 9": 102, "tumour 10": 103, "kidney left": 5, "lesion 01": 101,
    }  # fmt: skip


def test_ten_structures_of_one_name_are_ten_lesions() -> None:
    rois = [roi(i, "Met") for i in range(1, 11)]
    labels = labels_of([rois])
    assert sorted(labels.values()) == list(range(101, 111))
    assert labels_by_number(rois, labels) == {i: 100 + i for i in range(1, 11)}


@pytest.mark.parametrize(
    ("name", "label"),
    [("Kidney_L", 5), ("left kidney", 5), ("KIDNEY RT", 6), ("Liver", 7), ("Parotid gland right", 10),
     ("parotid_l", 9), ("lesion1 liver R lobe", None), ("Body", None)],
)  # fmt: skip
def test_organ_names_as_people_write_them(name, label) -> None:
    assert known_label(name) == label
