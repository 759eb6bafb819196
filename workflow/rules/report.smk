# What people read: planted against recovered, the report, the summary at the end of a run.
if PLAN.virtual and PLAN.dosimetry:

    rule evaluate_labels:
        input:
            tiac=f"{R}/kinetics/tiac.tsv",
            labels=f"{R}/dose/organ_dose.tsv",
            truth=f"{TRUTH}/truth_voi.parquet",
        output:
            table=f"{R}/evaluate/recovery.tsv",
            summary=f"{R}/evaluate/recovery.json",
        log:
            f"{R}/log/evaluate_labels.log",
        conda:
            "../../environment.yml"
        params:
            truth=lambda wildcards, input: folder(input.truth),
            out=lambda wildcards, output: folder(output.table),
            code=step_code("evaluate_labels"),
        message:
            "evaluate_labels: planted against recovered"
        shell:
            "python -m theradose.steps.evaluate_labels --tiac {input.tiac} --labels {input.labels}"
            " --truth {params.truth} --out {params.out} 2>&1 | tee {log}"

    rule limit:
        input:
            recovery=f"{R}/evaluate/recovery.tsv",
            truth=f"{TRUTH}/truth_voi.parquet",
            latents=f"{TRUTH}/latents.parquet",
        output:
            limits=f"{R}/limit/limits.tsv",
            oracle=f"{R}/limit/oracle.tsv",
            outcomes=f"{R}/limit/outcome_limits.tsv",
        log:
            f"{R}/log/limit.log",
        conda:
            "../../environment.yml"
        params:
            settings=lambda wildcards: to_json(PLAN.cohort_made),
            radionuclide=STUDY.radionuclide,
            seed=STUDY.seed,
            patients=STUDY.limit_patients,
            truth=lambda wildcards, input: folder(input.truth),
            out=lambda wildcards, output: folder(output.limits),
            code=step_code("limit"),
        message:
            "limit: the smallest possible errors"
        shell:
            "python -m theradose.steps.limit --settings {params.settings:q} --radionuclide {params.radionuclide:q}"
            " --seed {params.seed} --patients {params.patients} --truth {params.truth} --recovery {input.recovery}"
            " --out {params.out} 2>&1 | tee {log}"


rule report:
    input:
        unpack(report_inputs),
    output:
        f"{R}/report/index.html",
    log:
        f"{R}/log/report.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: to_json(STUDY),
        data=lambda wildcards, input: folder(input.manifest),
        results=lambda wildcards: R,
        out=lambda wildcards, output: folder(output[0]),
        code=step_code("report"),
    message:
        "report: one page and a card for each model"
    shell:
        "python -m theradose.steps.report --settings {params.settings:q} --data {params.data}"
        " --results {params.results} --out {params.out} 2>&1 | tee {log}"


rule summarise:
    input:
        unpack(report_inputs),
        page=f"{R}/report/index.html",
    output:
        f"{R}/summary.txt",
    log:
        f"{R}/log/summarise.log",
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: to_json(STUDY),
        data=lambda wildcards, input: folder(input.manifest),
        results=lambda wildcards: R,
        code=step_code("summarise"),
    message:
        "summarise: the lines that end a run"
    shell:
        "python -m theradose.steps.summarise --settings {params.settings:q} --data {params.data}"
        " --results {params.results} --out {output} > {log} 2>&1"
