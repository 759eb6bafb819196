"""The source paper's dose map (section 8.2) with three seeds: `python benchmarks/dose_map_literal.py FOLDER`.

FOLDER holds the pairs of `config/prostate-literal.yaml` (results/prostate-literal/augment). Each form of R(S) trains on
the 245 pairs of the nine training patients and is judged on the nine test patients, beside the PET scaled by one number
and a map of zeros: on their original slices, patient by patient, and on all 105 pairs, copies included, as printed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.evaluation.map_metrics import MAP_METRICS
from theradose.models.image_examples import ImageExamples, load_examples
from theradose.models.predictors import TrainingPlan
from theradose.models.volume_predictors import MAP_PREDICTORS
from theradose.vocabulary import RESEARCH_USE_ONLY

SEEDS = (1, 2, 3)
PRINTED = ("unet2d_eta0", "unet2d_normalised", "unet2d_raw")
SHOWN = ("ssim", "ssim_masked", "sum_bias_percent", "hot_voxel_mae_percent", "rmse")
ALL_PAIRS = "ssim_all_pairs"
PLAN = TrainingPlan(epochs=25, patience=25, batch_size=16)  # config/experiments/dose_map_literal.yaml, unwatched

Maps = Callable[[ImageExamples], np.ndarray]


def fitted(examples: ImageExamples, seeds: tuple[int, ...], plan: TrainingPlan) -> Iterator[tuple[str, int, Maps]]:
    """Yield (name, seed, prediction) of the zero map, of PET scaled by one number and of each form of R(S)."""
    training = examples.pick(np.asarray(examples.table["partition"] == "train"))
    yield "zero_map", 0, lambda own: np.zeros_like(own.dose)
    for name, seed in [("pet_scaled_map", 0), *((name, seed) for seed in seeds for name in PRINTED)]:
        predictor = MAP_PREDICTORS[name]()
        predictor.fit(training, seed=seed, training=plan)
        yield name, seed, predictor.predict


def judged(test: ImageExamples, maps: Maps) -> dict[str, float]:
    """Return each metric on original slices, the mean over patients, and the SSIM on all pairs."""

    def score(metric: str, own: ImageExamples) -> float:
        return MAP_METRICS[metric].compute(maps(own), own.dose, own.mask)

    people = [np.asarray(test.table["patient"] == name) for name in dict.fromkeys(test.patients)]
    originals = [test.pick(inside & test.originals) for inside in people]
    found = {metric: float(np.mean([score(metric, own) for own in originals])) for metric in SHOWN}
    return {**found, ALL_PAIRS: score("ssim", test)}


def scores(
    examples: ImageExamples, seeds: tuple[int, ...] = SEEDS, plan: TrainingPlan = PLAN
) -> Iterator[dict[str, object]]:
    """Yield a row for each predictor and seed as soon as it is trained: its scores on the test patients."""
    test = examples.pick(np.asarray(examples.table["partition"] == "test"))
    for name, seed, maps in fitted(examples, seeds, plan):
        yield {"predictor": name, "seed": seed, **judged(test, maps)}


def main() -> None:
    """Read the pairs, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    sys.stdout.write(f"virtual patients; against the label from SPECT; {RESEARCH_USE_ONLY}\n")
    rows = []
    for row in scores(load_examples(parser.parse_args().folder)):
        rows.append(row)
        words = (f"{name} {value:.3f}" if isinstance(value, float) else f"{value}" for name, value in row.items())
        sys.stdout.write(", ".join(words) + "\n")
        sys.stdout.flush()
    means = pd.DataFrame(rows).groupby("predictor", sort=False)[[*SHOWN, ALL_PAIRS]].agg(["mean", "std"])
    sys.stdout.write(f"{means.round(3).to_string()}\n")


if __name__ == "__main__":
    main()
