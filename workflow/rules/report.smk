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
