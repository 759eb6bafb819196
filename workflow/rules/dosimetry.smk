# From SPECT time points to absorbed dose: the labels of all models. Patients are shared out over chunks.
rule quantify:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
        patients=f"{R}/check/patients.tsv",
    output:
        tac=f"{R}/quantify/chunk-{{chunk}}/tac.tsv",
        qc=f"{R}/quantify/chunk-{{chunk}}/qc.tsv",
        images=f"{R}/quantify/chunk-{{chunk}}/images.tsv",
    log:
        f"{R}/log/quantify/chunk-{{chunk}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("quantify"),
        radionuclide=STUDY.radionuclide,
        data=lambda wildcards, input: folder(input.manifest),
        out=lambda wildcards, output: folder(output.tac),
        of=len(CHUNKS),
        code=step_code("quantify"),
    message:
        "quantify: activity in every VOI, chunk {wildcards.chunk}"
    shell:
        "python -m theradose.steps.quantify --settings {params.settings:q} --radionuclide {params.radionuclide:q}"
        " --data {params.data} --patients {input.patients} --chunk {wildcards.chunk} --of {params.of}"
        " --out {params.out} 2>&1 | tee {log}"


rule fit_kinetics:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
        tac=f"{R}/quantify/chunk-{{chunk}}/tac.tsv",
    output:
        tiac=f"{R}/kinetics/chunk-{{chunk}}/tiac.tsv",
    log:
        f"{R}/log/fit_kinetics/chunk-{{chunk}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("kinetics"),
        radionuclide=STUDY.radionuclide,
        data=lambda wildcards, input: folder(input.manifest),
        out=lambda wildcards, output: folder(output.tiac),
        code=step_code("fit_kinetics"),
    message:
        "fit_kinetics: time-integrated activity, chunk {wildcards.chunk}"
    shell:
        "python -m theradose.steps.fit_kinetics --settings {params.settings:q} --radionuclide {params.radionuclide:q}"
        " --data {params.data} --tac {input.tac} --out {params.out} 2>&1 | tee {log}"


rule compute_dose:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
        images=f"{R}/quantify/chunk-{{chunk}}/images.tsv",
        tac=f"{R}/quantify/chunk-{{chunk}}/tac.tsv",
        tiac=f"{R}/kinetics/chunk-{{chunk}}/tiac.tsv",
    output:
        organ_dose=f"{R}/dose/chunk-{{chunk}}/organ_dose.tsv",
        budget=f"{R}/dose/chunk-{{chunk}}/budget.tsv",
        dvh=f"{R}/dose/chunk-{{chunk}}/dvh.tsv",
        images=f"{R}/dose/chunk-{{chunk}}/images.tsv",
    log:
        f"{R}/log/compute_dose/chunk-{{chunk}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("dose"),
        radionuclide=STUDY.radionuclide,
        data=lambda wildcards, input: folder(input.manifest),
        out=lambda wildcards, output: folder(output.organ_dose),
        code=step_code("compute_dose"),
    message:
        "compute_dose: dose per organ and voxel, chunk {wildcards.chunk}"
    shell:
        "python -m theradose.steps.compute_dose --settings {params.settings:q} --radionuclide {params.radionuclide:q}"
        " --data {params.data} --images {input.images} --tac {input.tac} --tiac {input.tiac}"
        " --out {params.out} 2>&1 | tee {log}"
