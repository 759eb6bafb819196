import numpy as np
import pandas as pd
import pytest

from theradose.features.sessions import changes, image_names, in_order, nominal_h


def images(*rows: tuple[str, float], session: str = "ses-pre", modality: str = "pet") -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["patient", "time_h"])
    return table.assign(session=session, modality=modality)


def names(*rows: tuple[str, float], **kind: str) -> list[str]:
    return list(image_names(images(*rows, **kind)))


def test_times_go_to_the_nearest_nominal_one_on_the_log_scale():
    times = np.array([0.0, 50 / 60, 1.2, 3.0, 3.9, 4.2, 6.0, 20.0, 26.5, 40.0, 170.0, np.nan])
    assert nominal_h(times).tolist() == [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0, 24.0, 24.0, 48.0, 168.0, -1.0]


def test_almost_equal_times_of_different_patients_share_a_name():
    found = names(("a", 0.83), ("a", 3.9), ("a", 24.2), ("b", 1.1), ("b", 4.2), ("b", 22.0))
    assert found == ["pet", "pet_4h", "pet_24h"] * 2


def test_patients_with_one_image_have_a_plain_name_whenever_it_was_made():
    assert names(("a", 1.0), ("b", 2.1), ("c", 3.0)) == ["pet"] * 3


def test_who_missed_the_first_image_keeps_the_name_of_the_later_one():
    assert names(("a", 1.0), ("a", 4.0), ("b", 4.1)) == ["pet", "pet_4h", "pet_4h"]


def test_two_images_at_one_nominal_time_stay_apart_in_order():
    assert names(("a", 1.1), ("a", 0.8), ("a", 24.0), ("a", 25.0)) == ["pet_2", "pet", "pet_24h", "pet_24h_2"]


def test_an_image_without_time_is_the_first():
    assert names(("a", np.nan), ("b", np.nan), modality="ct") == ["ct", "ct"]


def test_rows_keep_their_index_and_repeated_rows_one_name():
    table = images(("a", 4.0), ("a", 1.0), ("a", 4.0)).set_axis([7, 3, 9])
    found = image_names(table)
    assert found.to_dict() == {7: "pet_4h", 3: "pet", 9: "pet_4h"}
    assert in_order(table.assign(image=found)) == ["pet", "pet_4h"]


def test_each_session_counts_for_itself():
    table = pd.concat([images(("a", 24.0), session="ses-tx1"), images(("a", 4.0), ("a", 24.0), session="ses-tx2")])
    assert list(image_names(table)) == ["pet_24h", "pet", "pet_24h"]


@pytest.fixture
def once() -> pd.DataFrame:
    rows = [
        ("pet_4h.original.firstorder.Mean", "original", "firstorder", "Mean"),
        ("pet_4h.original.firstorder.Skewness", "original", "firstorder", "Skewness"),
        ("pet_4h.log-sigma-8-0-mm-3D.firstorder.Mean", "log-sigma-8-0-mm-3D", "firstorder", "Mean"),
        ("pet_4h.log-sigma-8-0-mm-3D.glcm.Contrast", "log-sigma-8-0-mm-3D", "glcm", "Contrast"),
        ("pet_4h.original.glcm.Id", "original", "glcm", "Id"),
    ]
    table = pd.DataFrame(rows, columns=["column", "filter", "feature_class", "feature"]).set_index("column")
    return table.assign(image="pet_4h", modality="pet")


def test_changes_are_log_ratios_and_differences_where_a_sign_may_change(once):
    late = {column: [8.0, 0.0] for column in once.index}
    early = {column.replace("pet_4h", "pet"): [2.0, 2.0] for column in once.index if not column.endswith("Id")}
    found, rows = changes(pd.DataFrame({**late, **early}), once, [("pet", "pet_4h")])
    ratio, difference = [np.log(4.0), np.nan], [6.0, -2.0]
    expected = {
        "original.firstorder.Mean": ("1", ratio),
        "original.firstorder.Skewness": ("1", difference),
        "log-sigma-8-0-mm-3D.firstorder.Mean": ("g/mL", difference),
        "log-sigma-8-0-mm-3D.glcm.Contrast": ("1", ratio),
    }
    assert [row["column"] for row in rows] == [f"delta.pet_4h-pet.{name}" for name in expected]
    assert [row["unit"] for row in rows] == [unit for unit, _ in expected.values()]
    for name, (_, values) in expected.items():
        np.testing.assert_allclose(found[f"delta.pet_4h-pet.{name}"], values)


def test_a_change_that_nobody_has_is_left_out(once):
    wide = pd.DataFrame({once.index[0]: [1.0], once.index[0].replace("pet_4h", "pet"): [np.nan]})
    found, rows = changes(wide, once.iloc[:1], [("pet", "pet_4h")])
    assert found.empty
    assert rows == []
