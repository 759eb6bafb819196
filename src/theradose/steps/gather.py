"""Join the tables of all chunks into one."""

from argparse import Namespace

from theradose.errors import SettingsError
from theradose.provenance import write_provenance
from theradose.steps.entry import arguments, start
from theradose.tables import SCHEMAS, concat_tables, write_table


def run(chosen: Namespace) -> None:
    """Read tables of one schema, sort the rows by their key, write them; each table has a provenance of its own."""
    if chosen.schema not in SCHEMAS:
        raise SettingsError("table is unknown", got=chosen.schema, expected=f"one of {', '.join(sorted(SCHEMAS))}")
    table = concat_tables(chosen.inputs, SCHEMAS[chosen.schema])
    write_table(table, chosen.out, SCHEMAS[chosen.schema])
    name = f"{chosen.out.stem}.provenance.json"
    write_provenance(chosen.out.parent, "gather", chosen.inputs, {"schema": chosen.schema}, name)
    print(f"gather: {len(table)} rows of {chosen.schema} from {len(chosen.inputs)} tables")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("schema",), lists=("inputs",), paths=("out",)), run)
