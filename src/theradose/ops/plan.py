"""The plan of a study before its graph is drawn: settings read, and refused where they do not go together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.ops.study import PRESETS, Plan
from theradose.physics.limits import CASES, LIMITS, has_constant
from theradose.provenance import SRC, code_digest
from theradose.sections import POPULATION_T_EFF_H, StudySettings
from theradose.settings import EXPERIMENTS, load_experiment, parse_settings

READS_DOSES = ("outcome", "renal_slope", "latency")


def _refuse(what: str, field: str, got: object, remedy: str) -> SettingsError:
    """Return the error for settings that are valid one by one but do not go together."""
    return SettingsError(what, where=Where(field=field), got=got, remedy=remedy, code="THR-101")


def _check_parts(plan: Plan) -> None:
    """Raise SettingsError when an experiment lacks a part of the study it learns from."""
    if plan.experiments and not plan.dosimetry:
        raise _refuse(
            "experiments learn from doses, but no SPECT is required",
            "check.require",
            list(plan.study.check.require),
            "add spect to check.require or set experiments: []",
        )
    if any(one.kind != "dose_map" for one in plan.experiments.values()) and not plan.radiomics:
        raise _refuse(
            "experiments learn from features, but none are extracted",
            "radiomics.presets",
            dict(plan.study.radiomics.presets),
            "name a preset or leave the experiment out",
        )


def _check_doses(plan: Plan) -> None:
    """Raise SettingsError when an experiment reads doses that no experiment of the study predicts."""
    reading = {name: one for name, one in plan.experiments.items() if one.kind in READS_DOSES}
    for name, one in reading.items():
        source = plan.experiments.get(one.doses)
        known = source is not None and source.kind == "organ_dose" and source.cycle == 1
        if source is None or not known or one.dose_predictor not in source.all_predictors:
            raise _refuse(
                f"experiment {name} reads predicted doses of the first cycle that nothing in this study predicts",
                "experiments",
                f"doses: {one.doses}, dose_predictor: {one.dose_predictor}",
                "add that experiment of kind organ_dose to the study, with that predictor, or name another",
            )


def _check_cycles(plan: Plan) -> None:
    """Raise SettingsError when an experiment learns doses of a cycle that nobody of a virtual cohort is imaged in."""
    imaged = plan.study.cohort.virtual.imaged_cycles
    late = [name for name, one in plan.experiments.items() if one.cycle > imaged]
    if late and plan.virtual:
        what, remedy = "experiments learn doses of a cycle without images", "raise it, or leave these experiments out"
        raise _refuse(what, "cohort.virtual.imaged_cycles", f"{imaged}, with {', '.join(late)}", remedy)


def _check_watch(plan: Plan) -> None:
    """Raise SettingsError when validation patients are to watch over trainings and the split makes none."""
    watched = [name for name, one in plan.experiments.items() if one.training.watch == "validation"]
    scheme = plan.study.split.scheme
    if watched and scheme != "thirds":
        raise _refuse(
            "validation patients are to watch over trainings, but the split has none",
            "split.scheme",
            f"{scheme}, with {', '.join(watched)}",
            "set split.scheme: thirds, or training.watch: held_back in the experiment",
        )


def _check_planning(plan: Plan) -> None:
    """Raise SettingsError when activities are to be planned where the table of limits has none."""
    for name, one in plan.experiments.items():
        case = one.planning.case if one.planning else ""
        if case and not any(has_constant(organ, limit, case) for organ in one.organs for limit in LIMITS.values()):
            raise _refuse(
                "activities are to be planned, but in this case of the table of limits no organ has one",
                f"{name}.planning.case",
                f"{case}, organs {', '.join(one.organs)}",
                f"choose one of {', '.join(CASES)} with a limit for an organ of this experiment, or plan nothing",
            )


def _check_outcomes(plan: Plan, data: Path) -> None:
    """Raise SettingsError when an experiment learns what happened after therapy and nobody has written it down."""
    learning = [name for name, one in plan.experiments.items() if one.outcomes or one.kind == "latency"]
    if learning and not plan.virtual and not (data / "outcomes.tsv").is_file():
        raise _refuse(
            "experiments learn outcomes, but the data set has none",
            "experiments",
            learning,
            f"write {plan.data}/outcomes.tsv (columns in docs/your-own-data.md) or leave these experiments out",
        )


def _cohort_identity(study: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a virtual data set is made from; who is excluded later does not count."""
    return study["cohort"]["virtual"], study["seed"], study["radionuclide"]


def _check_owner(plan: Plan, results: Path) -> None:
    """Raise SettingsError when another study made a virtual cohort of this name from other settings."""
    if not plan.virtual:
        return
    mine = plan.study.model_dump(mode="json")
    for file in sorted(results.glob("*/study.json")):
        other = json.loads(file.read_text(encoding="utf-8"))
        if other["study"] == mine["study"] or other["cohort"]["name"] != mine["cohort"]["name"]:
            continue
        if _cohort_identity(other) != _cohort_identity(mine):
            raise _refuse(
                f"study {other['study']} has made this cohort from other settings",
                "cohort.name",
                mine["cohort"]["name"],
                "give this study a cohort name of its own, or the same cohort, seed and radionuclide",
            )


def _of_the_study(one: ExperimentSettings, study: StudySettings) -> ExperimentSettings:
    """Return an experiment with what only its study knows: half-lives behind BEDs it does not give, most trials.

    To models of doses, which plan, go those that are not usual: the usual ones of 177Lu hold for no other nuclide.
    """
    changed: dict[str, Any] = {}
    declared = study.kinetics.population_t_eff_h
    if one.kind in READS_DOSES:
        changed["t_eff_h"] = {**declared, **one.t_eff_h}
    elif one.kind == "organ_dose":
        own = {organ: hours for organ, hours in declared.items() if hours != POPULATION_T_EFF_H.get(organ)}
        changed["t_eff_h"] = {**own, **one.t_eff_h}
    if study.workflow.trials is not None:
        for search in ("tuning", "nested"):
            own = getattr(one, search)
            changed[search] = own.model_copy(update={"trials": min(own.trials, study.workflow.trials)})
    return one.model_copy(update=changed)


def load_plan(config: Mapping[str, Any], root: Path = Path(), sources: Sequence[Path] = ()) -> Plan:
    """Return the plan of a study; SettingsError when settings are wrong or would collide with another study's.

    `sources` are the YAML files that made `config`, for the lines of faults.
    """
    name = f"configuration of study {config.get('study', '(unnamed)')}"
    study = parse_settings(StudySettings, config, name, sources)
    experiments = {name: _of_the_study(load_experiment(root / EXPERIMENTS, name), study) for name in study.experiments}
    plan = Plan(study, experiments)
    _check_parts(plan)
    _check_doses(plan)
    _check_cycles(plan)
    _check_watch(plan)
    _check_planning(plan)
    _check_outcomes(plan, root / plan.data)
    _check_owner(plan, root / "results")
    if not plan.virtual and not (root / plan.data / "manifest.tsv").is_file():
        raise SettingsError(
            "the data set of this study is not there",
            where=Where(file=f"{plan.data}/manifest.tsv"),
            remedy=f"make it with `theradose import <folder> --to {plan.data}` or set cohort.source: virtual",
            code="THR-103",
        )
    missing = [file for file in plan.presets if not (root / file).is_file()]
    if missing:
        raise _refuse(
            "radiomics preset is missing", "radiomics.presets", missing, f"write it or choose one of {PRESETS}"
        )
    return plan


def step_code(step: str) -> str:
    """Return the digest of the code of a step; SettingsError when there is no such step."""
    if not (SRC / "theradose" / "steps" / f"{step}.py").is_file():
        raise SettingsError("the workflow names a step that does not exist", got=step, code="THR-102")
    return code_digest(f"theradose.steps.{step}")
