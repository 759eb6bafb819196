# Radiomics of PET and CT, and the table of everything that is known before therapy.
rule extract_features:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
        patients=f"{R}/check/patients.tsv",
        presets=PLAN.presets,
    output:
        f"{R}/features/chunk-{{chunk}}/features.parquet",
    log:
        f"{R}/log/extract_features/chunk-{{chunk}}.log",
    priority: 1  # before long jobs of one thread, which leave no room for two
    conda:
        "../../environment.yml"
    threads: 2
    params:
        settings=lambda wildcards: to_json(PLAN.features_made),
        presets=lambda wildcards, input: (folder(input.presets[0]) if input.presets else ""),
        data=lambda wildcards, input: folder(input.manifest),
        of=len(CHUNKS),
        code=step_code("extract_features"),
    message:
        "extract_features: radiomics, chunk {wildcards.chunk}"
    shell:
        "python -m theradose.steps.extract_features --settings {params.settings:q} --presets {params.presets}"
        " --data {params.data} --patients {input.patients} --chunk {wildcards.chunk} --of {params.of}"
        " --workers {threads} --out {output} 2>&1 | tee {log}"


rule assemble_covariates:
    input:
        participants=f"{DATA}/participants.tsv",
        patients=f"{R}/check/patients.tsv",
        features=f"{R}/features/features.parquet",
    output:
        covariates=f"{R}/covariates/covariates.tsv",
        manifest=f"{R}/covariates/covariate_manifest.tsv",
        dictionaries=[
            f"{R}/covariates/covariates.dictionary.tsv",
            f"{R}/features/features.dictionary.tsv",
        ],
    log:
        f"{R}/log/assemble_covariates.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: to_json(PLAN.features_made),
        data=lambda wildcards, input: folder(input.participants),
        out=lambda wildcards, output: folder(output.covariates),
        code=step_code("assemble_covariates"),
    message:
        "assemble_covariates: radiomic, clinical and biological columns in one table"
    shell:
        "python -m theradose.steps.assemble_covariates --settings {params.settings:q} --features {input.features}"
        " --data {params.data} --patients {input.patients} --out {params.out} 2>&1 | tee {log}"


if PLAN.stability:

    rule stability:
        input:
            manifest=f"{DATA}/manifest.tsv",
            participants=f"{DATA}/participants.tsv",
            patients=f"{R}/check/patients.tsv",
            preset=f"config/radiomics/{STUDY.radiomics.presets['pet']}.yaml",
        output:
            table=f"{R}/features/stability.tsv",
            draws=f"{R}/features/stability_draws.tsv",
        log:
            f"{R}/log/stability.log",
        conda:
            "../../environment.yml"
        params:
            settings=section("radiomics"),
            seed=STUDY.seed,
            presets=lambda wildcards, input: folder(input.preset),
            data=lambda wildcards, input: folder(input.manifest),
            out=lambda wildcards, output: folder(output.table),
            code=step_code("stability"),
        message:
            "stability: features of images and outlines changed a little"
        shell:
            "python -m theradose.steps.stability --settings {params.settings:q} --presets {params.presets}"
            " --data {params.data} --patients {input.patients} --seed {params.seed} --out {params.out}"
            " 2>&1 | tee {log}"
