# The workflow itself is workflow/Snakefile; this file lets a bare `snakemake` find it from the top of the repository.
include: "workflow/Snakefile"


# Rules of an included file never become the default target, so it is said again here.
rule default:
    default_target: True
    input:
        rules.all.input,
    message:
        "the whole study is there"
