"""A radionuclide's half-life and energies, alone or with its progeny."""

from typing import Annotated

import typer

from theradose.cli.answers import answer, refusal

TRAP = "  The sum holds where the progeny decay at the place of the parent; after a recoil they may not."
LINE = "  {:<10}{:>12}{:>16}{:>14}{:>12}{:>12}{:>12}"


def nuclide(
    name: Annotated[str, typer.Argument(help="Radionuclide, e.g. Lu-177.")],
    *,
    chain: Annotated[bool, typer.Option("--chain", help="Add the energies of the progeny.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print half-life and energy per decay (ICRP-107); with --chain summed over the progeny, time-integrated yields."""
    from theradose.physics import chains
    from theradose.physics.nuclides import nuclide as find

    with refusal(as_json):
        alone = find(name)
        source = chains.chain_energy(name) if chain else alone
        yields, ratios = chains.progeny_yields(name), chains.equilibrium_ratios(name)
        kinds = ("half_life_h", *chains.ENERGIES)
        daughters = [
            {
                "name": child,
                "yield": share,
                "equilibrium_ratio": ratios[child],
                **{kind: getattr(find(child), kind) for kind in kinds},
            }
            for child, share in yields.items()
        ]
        dose_gy, dose_rbe_gy = chains.dose_columns_gy(1.0, 1.0, source)
        report = {
            "radionuclide": name,
            "chain": chain,
            **{kind: getattr(source, kind) for kind in kinds},
            "local_kev": source.local_kev,
            "dose_gy": dose_gy,
            "dose_rbe_gy": dose_rbe_gy,
            "dose_of": "1 MBq.h in 1 g, complete local absorption; photons left out",
            "rbe_alpha": chains.RBE_ALPHA,
            "daughters": daughters if chain else [],
            "progeny": list(alone.progeny),
            "long_lived_not_counted": list(chains.long_lived(name)),
            "source": "ICRP Publication 107",
        }
    rbe = chains.RBE_ALPHA
    rows = [(name, 1.0, alone), *((d["name"], d["yield"], find(str(d["name"]))) for d in report["daughters"])]
    lines = [
        LINE.format("", "per decay", "half-life h", "electrons", "photons", "alphas", "recoils")
        + "  keV per own decay",
        *(
            LINE.format(
                who, f"{share:.6g}", f"{of.half_life_h:.6g}", *(f"{getattr(of, x):.2f}" for x in chains.ENERGIES)
            )
            for who, share, of in rows
        ),
        LINE.format("sum", "", "", *(f"{getattr(source, kind):.2f}" for kind in chains.ENERGIES)) if chain else "",
        f"  1 MBq.h in 1 g: {dose_gy:.6g} Gy; {dose_rbe_gy:.6g} Gy RBE-weighted (alphas and recoils x {rbe:g})",
        *(f"  not counted, outlives {name}: {child}" for child in report["long_lived_not_counted"]),
        TRAP if daughters and chain else "",
        f"  Progeny are not counted ({', '.join(alone.progeny)}): use --chain." if alone.progeny and not chain else "",
    ]
    answer(report, as_json, [line for line in lines if line])
