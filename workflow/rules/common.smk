# Short names for what every rule file uses. The study's plan (places, parts, experiments) is theradose.ops.study.Plan.
STUDY = PLAN.study
DATA, TRUTH, R, MODELS = PLAN.data, PLAN.truth, PLAN.results, PLAN.models
CHUNKS = PLAN.chunks
TRACKING = f"{R}/tracking.json"

# `python` in a shell line is the one that runs Snakemake, whether its environment is activated or not.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))

# One thread per job: results are the same for any number of cores. Steps print their progress as it happens.
for name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "PYTHONUNBUFFERED",
):
    os.environ[name] = "1"


wildcard_constraints:
    chunk=r"\d+",
    experiment="[a-z][a-z0-9_-]*",
    predictor="[a-z][a-z0-9_-]*",


def before_all_jobs():
    """Look up predictors and prepare the tracking store, outside the graph; a fault ends the run before its first job."""
    files = [
        "--data-manifest",
        f"{DATA}/manifest.tsv",
        "--splits",
        f"{R}/split/splits.tsv",
        "--out",
        TRACKING,
    ]
    steps = (
        {"check_experiments": [PLAN.learned], "init_tracking": [to_json(STUDY), *files]}
        if PLAN.experiments
        else {}
    )
    for step, flags in steps.items():
        if subprocess.run([sys.executable, "-m", f"theradose.steps.{step}", "--settings", *flags]).returncode:
            sys.exit(f"theradose: {step} has found a fault, told above; no job was begun")


def section(name):
    """Return a params function that hands a step its section of the settings as one line of JSON."""
    return lambda wildcards: to_json(getattr(STUDY, name))


def folder(file):
    """Return the folder of a file as rules write it."""
    return os.path.dirname(file)


def given(**files):
    """Return the flags of inputs, those without a file left out."""
    return [part for name, file in files.items() if file for part in (f"--{name.replace('_', '-')}", file)]


def chunked(stage, file):
    """Return a file of every chunk of a stage."""
    return expand("{r}/{stage}/chunk-{chunk}/{file}", r=R, stage=stage, chunk=CHUNKS, file=file)


def experiment_settings(wildcards):
    """Return the settings of the experiment of a rule as one line of JSON."""
    return to_json(PLAN.experiments[wildcards.experiment])


def learned_settings(wildcards):
    """Return them without what is judged or planned afterwards, which trains nothing anew."""
    return to_json(PLAN.experiments[wildcards.experiment].learned)


def learning_inputs(wildcards):
    """Return what the examples of an experiment are made of; the names are the flags of tune, train and evaluate."""
    settings = PLAN.experiments[wildcards.experiment]
    shared = {"splits": f"{R}/split/splits.tsv", "labels": f"{R}/dose/organ_dose.tsv"}
    people = {"participants": f"{DATA}/participants.tsv"}
    after = {"outcomes": f"{DATA}/outcomes.tsv"}
    doses = {"doses": f"{R}/experiments/{settings.doses}/predictions.tsv"}
    table = {name: f"{R}/covariates/{name}.tsv" for name in ("covariates", "covariate_manifest")}
    latency = {name: f"{R}/latency/{settings.name}/{name}.tsv" for name in table}
    curves = {"tiac": f"{R}/kinetics/tiac.tsv"}
    stability = {"stability": f"{R}/features/stability.tsv"} if PLAN.needs_stability(settings) else {}
    own = {
        "dose_map": {"pairs": f"{R}/augment/pairs.safetensors"},
        "organ_dose": table | stability | (curves if settings.cycle > 1 else {}),
        "multitask": table
        | people
        | (after if settings.outcomes else {})
        | {"images": chunked("normalise", "images.tsv")},
        "outcome": table | people | after | doses,
        "renal_slope": table | people | after | doses,
        "latency": latency | people | after,
        "tiac": table | curves,
    }
    return shared | own[settings.kind]


def learning_flags(wildcards, input):
    """Return the inputs of an experiment as flags; image pairs are named by their folder."""
    files = {name: input[name] for name in learning_inputs(wildcards)}
    return given(**{name: folder(file) if name == "pairs" else file for name, file in files.items()})


def latency_inputs(wildcards):
    """Return the predictions that the covariates of a latency experiment are made of."""
    settings = PLAN.experiments[wildcards.experiment]
    surrogates = settings.surrogates if settings.surrogates in PLAN.experiments else None
    return {
        "doses": f"{R}/experiments/{settings.doses}/predictions.tsv",
        "surrogates": f"{R}/experiments/{surrogates}/predictions.tsv" if surrogates else [],
    }


def preset_files(wildcards):
    """Return the radiomics presets behind a model that `predict` uses for new patients, none for the others."""
    return PLAN.presets if PLAN.experiments[wildcards.experiment].kind in {"organ_dose", "tiac"} else []


def radiomics_flags(wildcards, input):
    """Return how features were made, for models that read features."""
    if not input.presets:
        return []
    made = ["--radiomics", shlex.quote(to_json(PLAN.features_made)), "--presets", folder(input.presets[0])]
    return [*made, "--data", DATA]


def models_of(wildcards):
    """Return a file of the model of every predictor of an experiment, by name."""
    predictors = PLAN.experiments[wildcards.experiment].all_predictors
    stem = f"{R}/experiments/{wildcards.experiment}/{{predictor}}"
    return {
        "models": expand(f"{stem}/model/model.json", predictor=predictors),
        "weights": expand(f"{stem}/model/weights.safetensors", predictor=predictors),
        "out_of_fold": expand(f"{stem}/out_of_fold.safetensors", predictor=predictors),
    }


def nested_inputs(wildcards):
    """Return what nested cross-validation learns from: as tune, and who is the same person under two names."""
    return learning_inputs(wildcards) | {"participants": f"{DATA}/participants.tsv"}


def nested_flags(wildcards, input):
    """Return the inputs of nested cross-validation as flags."""
    return given(**{name: input[name] for name in nested_inputs(wildcards)})


def report_inputs(wildcards):
    """Return every table the report reads, of the parts this study has."""
    found = {"manifest": f"{DATA}/manifest.tsv", "participants": f"{DATA}/participants.tsv"}
    found["check"] = [f"{R}/check/patients.tsv", f"{R}/check/faults.tsv"]
    if PLAN.dosimetry:
        found["curves"] = [f"{R}/quantify/tac.tsv", f"{R}/quantify/qc.tsv", f"{R}/kinetics/tiac.tsv"]
        found["doses"] = TARGETS["dosimetry"]
        found["recovery"] = (
            [f"{R}/evaluate/recovery.tsv", f"{R}/evaluate/recovery.json"] if PLAN.virtual else []
        )
        found["limit"] = [f"{R}/limit/limits.tsv", f"{R}/limit/outcome_limits.tsv"] if PLAN.virtual else []
    if PLAN.radiomics:
        found["features"] = TARGETS["features"]
    if PLAN.experiments:
        found["split"] = f"{R}/split/splits.tsv"
        found["compare"] = [f"{R}/compare/experiments.tsv", f"{R}/compare/best.json"]
        found["scores"] = TARGETS["models"]
        found["nested"] = TARGETS["nested"]
        found["plans"] = TARGETS["plans"]
    return found


TARGETS = {
    "cohort": [f"{DATA}/manifest.tsv", f"{DATA}/participants.tsv", *PLAN.truth_files],
    "dosimetry": expand(
        f"{R}/dose/{{table}}.tsv", table=["organ_dose", "budget", "dvh", "images"] if PLAN.dosimetry else []
    ),
    "features": (
        [f"{R}/features/features.parquet", f"{R}/covariates/covariates.tsv"] if PLAN.radiomics else []
    )
    + PLAN.stability,
    "models": expand(f"{R}/experiments/{{experiment}}/metrics.tsv", experiment=PLAN.experiments),
    "nested": expand(
        f"{R}/experiments/{{experiment}}/nested.tsv",
        experiment=[name for name, one in PLAN.experiments.items() if one.nested.scheme != "none"],
    ),
    "plans": expand(
        f"{R}/experiments/{{experiment}}/plans.tsv",
        experiment=[name for name, one in PLAN.experiments.items() if one.planning],
    ),
    "released": [f"{MODELS}/{file}" for file in PLAN.model_files],
    "metrics": [PLAN.metrics] if PLAN.experiments else [],
    "report": [f"{R}/report/index.html", f"{R}/summary.txt"],
}
