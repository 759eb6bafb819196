import numpy as np
import pytest
import torch

from theradose.errors import SettingsError
from theradose.models.image_examples import stacks_of, subset
from theradose.models.predictors import TrainingPlan
from theradose.models.volume_predictors import MAP_PREDICTORS, _blocks, _filled

PLAN = TrainingPlan(epochs=1, patience=1, batch_size=8)
NAMES = ("unet25d", "unet3d")


def fitted(name, examples, **parameters):
    predictor = MAP_PREDICTORS[name](**parameters)
    predictor.fit(subset(examples, ["v000", "v001", "v002"]), seed=1, training=PLAN)
    return predictor


def test_blocks_hold_every_slice_and_nothing_beyond():
    for length in (16, 17, 31, 32, 33, 80):
        blocks = list(_blocks(length))
        seen = {z for block in blocks for z in range(block.start, block.stop)}
        assert seen == set(range(length))
        assert all(block.stop - block.start == 16 for block in blocks)
        assert len(blocks) == -(-length // 16)


def test_stacks_are_filled_behind():
    assert [len(_filled(np.ones((n, 2)))) for n in (1, 16, 17, 20, 81)] == [16, 16, 20, 20, 84]
    assert _filled(np.ones((17, 2)))[16:].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("name", NAMES)
def test_slices_with_gaps_are_refused(name, image_cohort):
    examples, _ = image_cohort()
    predictor = fitted(name, examples)
    gaps = examples.pick(np.asarray(examples.table["slice"] != 6))
    with pytest.raises(SettingsError, match="every slice"):
        predictor.predict(gaps)


def test_stacks_are_in_order_of_slices_whatever_the_order_of_pairs(image_cohort):
    examples, _ = image_cohort(n_patients=2, copies=1, n_slices=3, test=0)
    mixed = examples.pick(np.arange(len(examples)) >= 0)
    order = np.random.default_rng(1).permutation(len(examples))
    mixed = type(examples)(
        examples.inputs[order], examples.dose[order], examples.mask[order], examples.organs[order],
        examples.table.iloc[order].reset_index(drop=True), examples.grids,
    )  # fmt: skip
    stacks = stacks_of(mixed)
    assert len(stacks) == 4
    for stack in stacks:
        own = mixed.table.loc[stack]
        assert own["slice"].tolist() == [5, 6, 7]
        assert len(set(own["patient"])) == len(set(own["copy"])) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_pairs_and_other_patients_change_no_map(name, image_cohort):
    examples, _ = image_cohort(n_slices=18, copies=0)
    predictor = fitted(name, examples)
    whole = predictor.predict(examples)
    one = np.asarray(examples.table["patient"] == "v004")
    assert predictor.predict(examples.pick(one)) == pytest.approx(whole[one], abs=1e-6)
    turned = examples.pick(one)
    back = type(turned)(
        turned.inputs[::-1], turned.dose[::-1], turned.mask[::-1], turned.organs[::-1],
        turned.table[::-1].reset_index(drop=True), turned.grids,
    )  # fmt: skip
    assert predictor.predict(back)[::-1] == pytest.approx(whole[one], abs=1e-6)


@pytest.mark.parametrize("name", ["unet2d", *NAMES])
def test_only_networks_of_more_than_one_slice_see_the_neighbours(name, image_cohort):
    # The last layer of a residual network begins at zero, so a network without residual is asked.
    examples, _ = image_cohort(n_slices=6, copies=0)
    predictor = fitted(name, examples, residual=False)
    before = predictor.predict(examples)
    changed = examples.pick(np.ones(len(examples), bool))
    changed.inputs[np.asarray(changed.table["slice"] == 7)] *= np.float32(0.5)
    after = predictor.predict(changed)
    at = {z: np.asarray(examples.table["slice"] == z) for z in (6, 7, 10)}
    assert not np.array_equal(after[at[7]], before[at[7]])
    assert np.array_equal(after[at[6]], before[at[6]]) == (name == "unet2d")
    assert np.array_equal(after[at[10]], before[at[10]]) == (name != "unet3d")


def test_channels_of_neighbours_by_hand(image_cohort):
    examples, _ = image_cohort(n_slices=3, copies=0)
    predictor = fitted("unet25d", examples)
    own = examples.pick(np.asarray(examples.table["patient"] == "v000"))
    channels = predictor._channels(own)
    assert channels.shape == (3, 6, 16, 16)
    assert np.array_equal(channels[:, 2:4], channels[[1, 2, 2], 0:2])
    assert np.array_equal(channels[:, 4:6], channels[[0, 0, 1], 0:2])


def test_a_batch_of_volumes_holds_as_many_slices_as_one_of_slices(image_cohort):
    examples, _ = image_cohort(n_slices=20, copies=0)
    predictor = fitted("unet3d", examples)
    assert predictor._plan(TrainingPlan(batch_size=32)).batch_size == 2
    (channels, mask), targets = predictor._lessons(subset(examples, ["v000", "v001"]))
    assert channels.shape == (4, 2, 16, 16, 16)
    assert mask.shape == targets.shape == (4, 16, 16, 16)
    assert torch.equal(channels[0, :, 4], channels[1, :, 0])  # blocks from slice 0 and from slice 4
