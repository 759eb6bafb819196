# Experiments: each predictor is tuned and trained, all of an experiment are judged together, the best is released.
# Before all jobs predictors are looked up and the tracking store is prepared (`before_all_jobs` in common.smk): a job that
# every other one waits for would hide from Snakemake what else has to run.
rule assemble_latency:
    input:
        unpack(latency_inputs),
        covariates=f"{R}/covariates/covariates.tsv",
        participants=f"{DATA}/participants.tsv",
        splits=f"{R}/split/splits.tsv",
    output:
        covariates=f"{R}/latency/{{experiment}}/covariates.tsv",
        manifest=f"{R}/latency/{{experiment}}/covariate_manifest.tsv",
    log:
        f"{R}/log/assemble_latency/{{experiment}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
        surrogates=lambda wildcards, input: given(surrogates=input.surrogates and folder(input.surrogates)),
        out=lambda wildcards, output: folder(output.covariates),
        code=step_code("assemble_latency"),
    message:
        "assemble_latency: 130 covariates, predictions of patients not trained on among them"
    shell:
        "python -m theradose.steps.assemble_latency --settings {params.settings:q} --covariates {input.covariates}"
        " --participants {input.participants} --splits {input.splits} --doses {input.doses} {params.surrogates}"
        " --out {params.out} 2>&1 | tee {log}"


rule tune:
    input:
        unpack(learning_inputs),
    output:
        tune=f"{R}/experiments/{{experiment}}/{{predictor}}/tune.json",
        trials=f"{R}/experiments/{{experiment}}/{{predictor}}/trials.tsv",
    log:
        f"{R}/log/tune/{{experiment}}-{{predictor}}.log",
    conda:
        "../../environment.yml"
    threads: lambda wildcards: PLAN.experiments[wildcards.experiment].tuning.workers
    params:
        settings=learned_settings,
        seed=STUDY.seed,
        files=learning_flags,
        out=lambda wildcards, output: folder(output.tune),
        tracking=TRACKING,
        code=step_code("tune"),
    message:
        "tune: {wildcards.predictor} of {wildcards.experiment}"
    shell:
        "python -m theradose.steps.tune --settings {params.settings:q} --predictor {wildcards.predictor}"
        " --seed {params.seed} {params.files} --tracking {params.tracking} --out {params.out} 2>&1 | tee {log}"


rule train:
    input:
        unpack(learning_inputs),
        tune=f"{R}/experiments/{{experiment}}/{{predictor}}/tune.json",
        presets=preset_files,
    output:
        model=f"{R}/experiments/{{experiment}}/{{predictor}}/model/model.json",
        weights=f"{R}/experiments/{{experiment}}/{{predictor}}/model/weights.safetensors",
        history=f"{R}/experiments/{{experiment}}/{{predictor}}/history.tsv",
        out_of_fold=f"{R}/experiments/{{experiment}}/{{predictor}}/out_of_fold.safetensors",
        train=f"{R}/experiments/{{experiment}}/{{predictor}}/train.json",
    log:
        f"{R}/log/train/{{experiment}}-{{predictor}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=learned_settings,
        seed=STUDY.seed,
        files=learning_flags,
        radiomics=radiomics_flags,
        out=lambda wildcards, output: folder(output.train),
        tracking=TRACKING,
        code=step_code("train"),
    message:
        "train: {wildcards.predictor} of {wildcards.experiment}"
    shell:
        "python -m theradose.steps.train --settings {params.settings:q} --predictor {wildcards.predictor}"
        " --seed {params.seed} {params.files} {params.radiomics} --tune {input.tune}"
        " --tracking {params.tracking} --out {params.out} 2>&1 | tee {log}"


rule evaluate:
    input:
        unpack(learning_inputs),
        unpack(models_of),
        truth=f"{TRUTH}/manifest.tsv" if PLAN.virtual else [],
    output:
        predictions=f"{R}/experiments/{{experiment}}/predictions.tsv",
        metrics=f"{R}/experiments/{{experiment}}/metrics.tsv",
        about=f"{R}/experiments/{{experiment}}/experiment.json",
    log:
        f"{R}/log/evaluate/{{experiment}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
        seed=STUDY.seed,
        files=learning_flags,
        models=lambda wildcards, input: [folder(file) for file in input.models],
        truth=lambda wildcards, input: (["--truth", folder(input.truth)] if input.truth else []),
        out=lambda wildcards, output: folder(output.metrics),
        tracking=TRACKING,
        code=step_code("evaluate"),
    message:
        "evaluate: {wildcards.experiment} on untouched patients, beside its baselines"
    shell:
        "python -m theradose.steps.evaluate --settings {params.settings:q} --seed {params.seed} {params.files}"
        " --models {params.models} {params.truth} --tracking {params.tracking} --out {params.out} 2>&1 | tee {log}"


rule cross_validate:
    input:
        unpack(nested_inputs),
    output:
        predictions=f"{R}/experiments/{{experiment}}/{{predictor}}/nested_predictions.tsv",
    log:
        f"{R}/log/cross_validate/{{experiment}}-{{predictor}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
        seed=STUDY.seed,
        files=nested_flags,
        out=lambda wildcards, output: folder(output.predictions),
        code=step_code("cross_validate"),
    message:
        "cross_validate: {wildcards.predictor} of {wildcards.experiment}, tuned anew in every fold"
    shell:
        "python -m theradose.steps.cross_validate --settings {params.settings:q} --predictor {wildcards.predictor}"
        " --seed {params.seed} {params.files} --out {params.out} 2>&1 | tee {log}"


rule judge_nested:
    input:
        predictions=lambda wildcards: expand(
            f"{R}/experiments/{wildcards.experiment}/{{predictor}}/nested_predictions.tsv",
            predictor=PLAN.experiments[wildcards.experiment].all_predictors,
        ),
        splits=f"{R}/split/splits.tsv",
    output:
        f"{R}/experiments/{{experiment}}/nested.tsv",
    log:
        f"{R}/log/judge_nested/{{experiment}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
        seed=STUDY.seed,
        code=step_code("judge_nested"),
    message:
        "judge_nested: {wildcards.experiment} by nested cross-validation, beside its baselines"
    shell:
        "python -m theradose.steps.judge_nested --settings {params.settings:q} --seed {params.seed}"
        " --predictions {input.predictions} --splits {input.splits} --out {output} 2>&1 | tee {log}"


rule plan_activities:
    input:
        unpack(models_of),
        predictions=f"{R}/experiments/{{experiment}}/predictions.tsv",
    output:
        f"{R}/experiments/{{experiment}}/plans.tsv",
    log:
        f"{R}/log/plan_activities/{{experiment}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
        radionuclide=STUDY.radionuclide,
        models=lambda wildcards, input: [folder(file) for file in input.models],
        code=step_code("plan_activities"),
    message:
        "plan_activities: {wildcards.experiment}, for every patient"
    shell:
        "python -m theradose.steps.plan_activities --settings {params.settings:q}"
        " --radionuclide {params.radionuclide:q} --predictions {input.predictions} --models {params.models}"
        " --out {output} 2>&1 | tee {log}"


rule compare:
    input:
        metrics=expand(f"{R}/experiments/{{experiment}}/metrics.tsv", experiment=PLAN.experiments),
        about=expand(f"{R}/experiments/{{experiment}}/experiment.json", experiment=PLAN.experiments),
        limits=f"{R}/limit/limits.tsv" if PLAN.virtual else [],
    output:
        table=f"{R}/compare/experiments.tsv",
        best=f"{R}/compare/best.json",
    log:
        f"{R}/log/compare.log",
    conda:
        "../../environment.yml"
    params:
        out=lambda wildcards, output: folder(output.table),
        limits=lambda wildcards, input: given(limits=input.limits and folder(input.limits)),
        seed=STUDY.seed,
        code=step_code("compare"),
    message:
        "compare: every experiment beside its baselines"
    shell:
        "python -m theradose.steps.compare --metrics {input.metrics} {params.limits} --seed {params.seed}"
        " --out {params.out} 2>&1 | tee {log}"


# The bytes of a model decide whether it becomes a new version in the registry; what is copied to models/ is for DVC.
if PLAN.experiments:

    rule register:
        input:
            models=expand(f"{R}/experiments/{{model}}/model/model.json", model=PLAN.model_names),
            best=f"{R}/compare/best.json",
            table=f"{R}/compare/experiments.tsv",
            recovery=f"{R}/evaluate/recovery.json" if PLAN.virtual else [],
            covariates=f"{R}/covariates/covariates.tsv" if PLAN.radiomics else [],
            manifest=f"{DATA}/manifest.tsv",
            splits=f"{R}/split/splits.tsv",
        output:
            models=TARGETS["released"],
            metrics=PLAN.metrics,
            record=f"{R}/registered.json",
        log:
            f"{R}/log/register.log",
        conda:
            "../../environment.yml"
        params:
            settings=section("tracking"),
            study=STUDY.study,
            source=STUDY.cohort.source,
            experiments=list(PLAN.experiments),
            models=lambda wildcards: MODELS,
            files=lambda wildcards, input: given(recovery=input.recovery, covariates=input.covariates),
            tracking=TRACKING,
            code=step_code("register"),
        message:
            "register: models released, the best one in the registry"
        shell:
            "python -m theradose.steps.register --settings {params.settings:q} --study {params.study}"
            " --source {params.source} --experiments {params.experiments} --models {input.models} --best {input.best}"
            " --table {input.table} {params.files} --data-manifest {input.manifest} --splits {input.splits}"
            " --tracking {params.tracking} --out-models {params.models} --out-metrics {output.metrics}"
            " --out {output.record} 2>&1 | tee {log}"
