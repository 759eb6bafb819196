# Images on a common grid and scale, and their augmented pairs: what networks learn from.
rule normalise:
    input:
        manifest=f"{DATA}/manifest.tsv",
        participants=f"{DATA}/participants.tsv",
        patients=f"{R}/check/patients.tsv",
        dose=f"{R}/dose/images.tsv",
    output:
        images=f"{R}/normalise/chunk-{{chunk}}/images.tsv",
    log:
        f"{R}/log/normalise/chunk-{{chunk}}.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("normalise"),
        data=lambda wildcards, input: folder(input.manifest),
        out=lambda wildcards, output: folder(output.images),
        of=len(CHUNKS),
        code=step_code("normalise"),
    message:
        "normalise: images for networks, chunk {wildcards.chunk}"
    shell:
        "python -m theradose.steps.normalise --settings {params.settings:q} --data {params.data}"
        " --patients {input.patients} --dose-images {input.dose} --chunk {wildcards.chunk} --of {params.of}"
        " --out {params.out} 2>&1 | tee {log}"


rule augment:
    input:
        images=chunked("normalise", "images.tsv"),
        splits=f"{R}/split/splits.tsv",
    output:
        pairs=f"{R}/augment/pairs.safetensors",
        table=f"{R}/augment/pairs.tsv",
        draws=f"{R}/augment/draws.tsv",
    log:
        f"{R}/log/augment.log",
    conda:
        "../../environment.yml"
    params:
        settings=section("augment"),
        seed=STUDY.seed,
        out=lambda wildcards, output: folder(output.pairs),
        code=step_code("augment"),
    message:
        "augment: random copies of training images, every draw recorded"
    shell:
        "python -m theradose.steps.augment --settings {params.settings:q} --seed {params.seed} --images {input.images}"
        " --splits {input.splits} --out {params.out} 2>&1 | tee {log}"
