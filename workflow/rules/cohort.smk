# The data set: simulated for a virtual cohort, otherwise found under data/ as `theradose import` left it; then checked.
if PLAN.virtual:

    rule simulate:
        output:
            manifest=f"{DATA}/manifest.tsv",
            participants=f"{DATA}/participants.tsv",
            outcomes=f"{DATA}/outcomes.tsv",
            truth=f"{TRUTH}/manifest.tsv",
            voi=f"{TRUTH}/truth_voi.parquet",
            latents=f"{TRUTH}/latents.parquet",
            outcome=f"{TRUTH}/truth_outcome.parquet",
        log:
            f"{R}/log/simulate.log",
        conda:
            "../../environment.yml"
        threads: 2
        params:
            settings=lambda wildcards: to_json(PLAN.cohort_made),
            radionuclide=STUDY.radionuclide,
            seed=STUDY.seed,
            data=lambda wildcards, output: folder(output.manifest),
            truth=lambda wildcards, output: folder(output.truth),
            code=step_code("simulate"),
        message:
            f"simulate: virtual cohort {STUDY.cohort.name}"
        shell:
            "python -m theradose.steps.simulate --settings {params.settings:q} --radionuclide {params.radionuclide:q}"
            " --seed {params.seed} --workers {threads} --out-data {params.data} --out-truth {params.truth}"
            " 2>&1 | tee {log}"


rule check:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
    output:
        patients=f"{R}/check/patients.tsv",
        faults=f"{R}/check/faults.tsv",
    log:
        f"{R}/log/check.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("check"),
        cohort=section("cohort"),
        radionuclide=STUDY.radionuclide,
        counts=int(STUDY.quantify.sensitivity_cps_per_mbq is not None),
        organs=json.dumps(PLAN.organs),
        half_lives=(
            []
            if PLAN.virtual
            else ["--half-lives", shlex.quote(json.dumps(STUDY.kinetics.population_t_eff_h))]
        ),
        data=lambda wildcards, input: folder(input.manifest),
        out=lambda wildcards, output: folder(output.patients),
        code=step_code("check"),
    message:
        "check: every fault of every patient, before any work"
    shell:
        "python -m theradose.steps.check --settings {params.settings:q} --cohort {params.cohort:q}"
        " --radionuclide {params.radionuclide:q} --counts {params.counts} --organs {params.organs:q} {params.half_lives}"
        " --data {params.data} --out {params.out} 2>&1 | tee {log}"


rule split:
    input:
        participants=f"{DATA}/participants.tsv",
        patients=f"{R}/check/patients.tsv",
    output:
        f"{R}/split/splits.tsv",
    log:
        f"{R}/log/split.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("split"),
        seed=STUDY.seed,
        data=lambda wildcards, input: folder(input.participants),
        code=step_code("split"),
    message:
        "split: by patient, before anything is fitted"
    shell:
        "python -m theradose.steps.split --settings {params.settings:q} --seed {params.seed} --data {params.data}"
        " --patients {input.patients} --out {output} 2>&1 | tee {log}"


# Tables that the chunks of a stage share are put together by one rule.
rule gather:
    input:
        lambda wildcards: chunked(wildcards.stage, wildcards.table),
    output:
        f"{R}/{{stage}}/{{table}}",
    log:
        f"{R}/log/gather/{{stage}}-{{table}}.log",
    wildcard_constraints:
        stage="quantify|kinetics|dose|features",
        table=r"(tac|qc|tiac|organ_dose|budget|dvh|images)\.tsv|features\.parquet",
    conda:
        "../../environment.yml"
    params:
        schema=lambda wildcards: os.path.splitext(wildcards.table)[0],
        code=step_code("gather"),
    message:
        "gather: {wildcards.table} of all patients"
    shell:
        "python -m theradose.steps.gather --schema {params.schema} --inputs {input} --out {output} 2>&1 | tee {log}"
