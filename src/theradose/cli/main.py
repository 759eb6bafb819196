"""The `theradose` command: verbs in groups; each verb loads what it needs when it is called."""

import os
import sys

import typer

from theradose.cli.bars import bars
from theradose.cli.cohort import limit, simulate
from theradose.cli.data import check_data, import_data
from theradose.cli.export import export_dicom, export_dose, export_opengate
from theradose.cli.features import features
from theradose.cli.ibsi import ibsi
from theradose.cli.init import init
from theradose.cli.kernels import kernel, sphere
from theradose.cli.kinetics import fit, translate
from theradose.cli.nuclides import nuclide
from theradose.cli.numbers import NumbersCommand
from theradose.cli.predict import predict
from theradose.cli.project import doctor, schema
from theradose.cli.retest import retest
from theradose.cli.runs import record, resume
from theradose.cli.stability import stability
from theradose.cli.suv import suv
from theradose.cli.timepoints import timepoints
from theradose.cli.treatment import PairsCommand, bed, plan
from theradose.cli.verify import verify
from theradose.errors import EXIT_INTERRUPTED, TheradoseError, storage_error
from theradose.vocabulary import RESEARCH_USE_ONLY

DATA, VIRTUAL, PHYSICS, MODELS, PROJECT = "Data in", "Virtual patients", "Physics", "Models", "Project"

app = typer.Typer(
    name="theradose",
    help=f"Personalised dosimetry models for radionuclide therapy. {RESEARCH_USE_ONLY}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("import", rich_help_panel=DATA)(import_data)
app.command("check", rich_help_panel=DATA)(check_data)
app.command("verify", rich_help_panel=DATA)(verify)
app.command("init", rich_help_panel=DATA)(init)
app.command("suv", rich_help_panel=DATA)(suv)
app.command("export-dicom", rich_help_panel=DATA)(export_dicom)
app.command("export-dose", rich_help_panel=DATA)(export_dose)
app.command("simulate", rich_help_panel=VIRTUAL)(simulate)
app.command("limit", rich_help_panel=VIRTUAL)(limit)
app.command("bars", rich_help_panel=VIRTUAL)(bars)
app.command("nuclide", rich_help_panel=PHYSICS)(nuclide)
app.command("kernel", rich_help_panel=PHYSICS, cls=NumbersCommand)(kernel)
app.command("sphere", rich_help_panel=PHYSICS, cls=NumbersCommand)(sphere)
app.command("fit", rich_help_panel=PHYSICS, cls=NumbersCommand)(fit)
app.command("timepoints", rich_help_panel=PHYSICS, cls=NumbersCommand)(timepoints)
app.command("translate", rich_help_panel=PHYSICS, cls=NumbersCommand)(translate)
app.command("bed", rich_help_panel=PHYSICS, cls=NumbersCommand)(bed)
app.command("plan", rich_help_panel=PHYSICS, cls=PairsCommand)(plan)
app.command("export-opengate", rich_help_panel=PHYSICS)(export_opengate)
app.command("features", rich_help_panel=MODELS)(features)
app.command("ibsi", rich_help_panel=MODELS)(ibsi)
app.command("stability", rich_help_panel=MODELS)(stability)
app.command("retest", rich_help_panel=MODELS)(retest)
app.command("predict", rich_help_panel=MODELS)(predict)
app.command("resume", rich_help_panel=PROJECT)(resume)
app.command("record", rich_help_panel=PROJECT)(record)
app.command("doctor", rich_help_panel=PROJECT)(doctor)
app.command("schema", rich_help_panel=PROJECT)(schema)


def run() -> None:
    """Run the command; a known fault ends with one sentence and its exit code, never with a traceback."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk behind `> file` shows here
    except TheradoseError as error:
        sys.stderr.write(f"theradose: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        refused = storage_error(error)
        if not isinstance(error, BrokenPipeError):  # `theradose ... | head` has read enough
            sys.stderr.write(f"theradose: {refused}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer would be refused again
        sys.exit(refused.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("theradose: interrupted; nothing half-written is left behind\n")
        sys.exit(EXIT_INTERRUPTED)
