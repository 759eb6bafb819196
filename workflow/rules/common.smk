# Short names for what every rule file uses. The study's plan (places, parts, experiments) is theradose.ops.plan.Plan.
STUDY = PLAN.study
DATA, TRUTH, R, MODELS = PLAN.data, PLAN.truth, PLAN.results, PLAN.models
CHUNKS = PLAN.chunks

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


def section(name):
    """Return a params function that hands a step its section of the settings as one line of JSON."""
    return lambda wildcards: to_json(getattr(STUDY, name))


def folder(file):
    """Return the folder of a file as rules write it."""
    return os.path.dirname(file)


def experiment_settings(wildcards):
    """Return the settings of the experiment of a rule as one line of JSON."""
    return to_json(PLAN.experiments[wildcards.experiment])


def chunked(stage, file):
    """Return a file of every chunk of a stage."""
    return expand(
        "{r}/{stage}/chunk-{chunk}/{file}", r=R, stage=stage, chunk=CHUNKS, file=file
    )


def learning_inputs(wildcards):
    """Return what the examples of an experiment are made of; the names are the flags of tune, train and evaluate."""
    found = {"splits": f"{R}/split/splits.tsv", "labels": f"{R}/dose/organ_dose.tsv"}
    if PLAN.experiments[wildcards.experiment].kind == "dose_map":
        return found | {"pairs": f"{R}/augment/pairs.safetensors"}
    covariates = {
        name: f"{R}/covariates/{name}.tsv"
        for name in ("covariates", "covariate_manifest")
    }
    return found | covariates


def learning_flags(wildcards, input):
    """Return the inputs of an experiment as flags; image pairs are named by their folder."""
    given = {name: input[name] for name in learning_inputs(wildcards)}
    if "pairs" in given:
        given["pairs"] = folder(given["pairs"])
    return [
        part
        for name, file in given.items()
        for part in ("--" + name.replace("_", "-"), file)
    ]


def model_files(wildcards):
    """Return the model of every predictor of an experiment."""
    predictors = PLAN.experiments[wildcards.experiment].all_predictors
    return expand(
        f"{R}/experiments/{wildcards.experiment}/{{predictor}}/model/model.json",
        predictor=predictors,
    )


TARGETS = {
    "cohort": [f"{DATA}/manifest.tsv", f"{DATA}/participants.tsv"]
    + ([f"{TRUTH}/manifest.tsv"] if PLAN.virtual else []),
    "dosimetry": (
        [f"{R}/dose/organ_dose.tsv", f"{R}/dose/dvh.tsv", f"{R}/dose/images.tsv"]
        if PLAN.dosimetry
        else []
    ),
    "features": (
        [f"{R}/features/features.parquet", f"{R}/covariates/covariates.tsv"]
        if PLAN.radiomics
        else []
    ),
    "models": expand(
        f"{R}/experiments/{{experiment}}/metrics.tsv", experiment=PLAN.experiments
    ),
    "released": [f"{MODELS}/{file}" for file in PLAN.model_files]
    + ([PLAN.metrics] if PLAN.experiments else []),
    "report": [f"{R}/report/index.html", f"{R}/summary.txt"],
}
