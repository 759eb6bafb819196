from dataclasses import dataclass

import numpy as np

from theradose.evaluation.sides import NOT_IN_A_FOLD, cells, sides
from theradose.models.store import Trained


@dataclass(frozen=True)
class People:
    patients: tuple[str, ...]
    partitions: tuple[str, ...]


def keep(people, patients):
    chosen = [k for k, name in enumerate(people.patients) if name in set(patients)]
    return People(*(tuple(part[k] for k in chosen) for part in (people.patients, people.partitions)))


class Length:
    def predict(self, people):
        return np.array([float(len(name)) for name in people.patients])


def trained():
    return Trained({"kidneys": Length()}, {}, {}, out_of_fold={"kidneys": np.array([0.1, 0.3])})


def test_training_patients_are_judged_out_of_fold_and_all_others_by_the_final_model():
    people = People(("a", "long", "b", "longest"), ("train", "test", "train", "validation"))
    inside, outside = sides(people, trained(), "kidneys", keep)
    assert inside.out_of_fold
    assert inside.examples.patients == ("a", "b")
    assert inside.said.tolist() == [0.1, 0.3]
    assert not outside.out_of_fold
    assert outside.examples.patients == ("long", "longest")
    assert outside.said.tolist() == [4.0, 7.0]
    labels = np.ones(2)
    assert inside.own(labels) is labels
    assert outside.own(labels) is None


def test_a_final_model_is_not_asked_when_everybody_trains():
    people = People(("a", "b"), ("train", "train"))
    (only,) = sides(people, trained(), "kidneys", keep)
    assert only.out_of_fold


def test_patients_without_a_fold_are_marked():
    found = cells("ridge", People(("a", "b"), ("train", "test")), {"a": 3})
    assert found == {
        "predictor": "ridge", "patient": ["a", "b"], "partition": ["train", "test"], "fold": [3, NOT_IN_A_FOLD],
    }  # fmt: skip
