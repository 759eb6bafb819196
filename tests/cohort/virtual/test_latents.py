"""Latents are named, reproducible, independent of the cohort's size, and standard normal."""

import numpy as np
import pytest

from theradose.cohort.virtual.latents import GROUPS, draw_latents, draw_many, stream


def test_same_seed_and_number_give_the_same_draws() -> None:
    assert draw_latents(7, 3).draws == draw_latents(7, 3).draws


def test_seed_and_number_change_every_draw() -> None:
    here, other_patient, other_seed = draw_latents(7, 3), draw_latents(7, 4), draw_latents(8, 3)
    for key, value in here.draws.items():
        assert value != other_patient.draws[key]
        assert value != other_seed.draws[key]


def test_a_name_added_at_the_end_of_a_group_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_latents(7, 3).draws
    monkeypatch.setitem(GROUPS, "body", ("", (*GROUPS["body"][1], "shoe_size")))
    after = draw_latents(7, 3).draws
    assert after["", "shoe_size"] not in before.values()
    assert {key: after[key] for key in before} == before


def test_draws_are_standard_normal() -> None:
    values = np.concatenate([list(draw_latents(1, i).draws.values()) for i in range(40)])
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert values.std() == pytest.approx(1.0, abs=0.02)


def test_groups_share_no_stream() -> None:
    first = {name: stream(1, 0, name).standard_normal() for name in GROUPS}
    assert len(set(first.values())) == len(first)


def test_table_has_every_draw_under_its_name() -> None:
    latents = draw_latents(1, 0)
    table = latents.table("v001")
    assert len(table) == len(latents.draws)
    kidney = table[(table["voi"] == "kidneys") & (table["name"] == "z_drift")]["value"].item()
    assert kidney == latents.z("drift", "kidneys")


def test_many_patients_have_the_kinetic_names_of_one() -> None:
    many = draw_many(1, 5).draws
    one = draw_latents(1, 0).draws
    assert set(many) < set(one)
    assert {key for key in one if key[1] in ("receptors", "drift", "t_bio") and not key[0].startswith("lesion")} <= set(
        many
    )
    assert all(np.shape(value) == (5,) for value in many.values())


def test_uniform_is_the_rank_of_the_normal_draw() -> None:
    many = draw_many(1, 2000)
    uniform = many.uniform("age")
    assert np.all((uniform > 0) & (uniform < 1))
    assert np.array_equal(np.argsort(uniform), np.argsort(many.z("age")))
    assert uniform.mean() == pytest.approx(0.5, abs=0.03)
