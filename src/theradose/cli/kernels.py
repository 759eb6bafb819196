"""S values of voxels and spheres, from the command line."""

from typing import Annotated

import typer

from theradose.cli.answers import answer, refusal

AXES = 3
LEAST_G_PER_ML, MOST_G_PER_ML = 0.1, 5.0  # lung of a deep breath to beyond tooth enamel, 3


def _checked(nuclide: str, **positive: list[float]) -> None:
    """Refuse a radionuclide that is unknown and quantities that are not above zero and finite."""
    import math

    from theradose.errors import SettingsError, Where
    from theradose.physics.nuclides import nuclide as find

    find(nuclide)
    for density in positive["density_g_per_ml"]:
        if LEAST_G_PER_ML > density > 0 or density > MOST_G_PER_ML:
            where, expected = Where(field="density"), f"{LEAST_G_PER_ML:g} to {MOST_G_PER_ML:g} g/mL"
            got, remedy = f"{density:g}", "1040 kg/m3 are 1.04 g/mL"
            raise SettingsError(
                "no tissue has this density", where=where, got=got, expected=expected, remedy=remedy,
                code="density_out_of_range",
            )  # fmt: skip
    for name, values in positive.items():
        if not all(0 < value < math.inf for value in values):
            got, code = ", ".join(f"{value:g}" for value in values), f"{name.split('_')[0]}_not_positive"
            where = Where(field=name)
            raise SettingsError("a quantity is not above zero", where=where, got=got, expected="> 0, finite", code=code)


def kernel(
    *,
    nuclide: Annotated[str, typer.Option(help="Radionuclide, e.g. Lu-177; short-lived progeny are included.")],
    spacing_mm: Annotated[list[float], typer.Option("--spacing-mm", help="Three voxel edges in mm, any order.")],
    density: Annotated[float, typer.Option(help="Density in g/mL.")] = 1.04,
    offsets: Annotated[int, typer.Option(help="Voxels from the source along each axis.", min=0, max=60)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print voxel S values; an offset counts voxels along the axes in the order of --spacing-mm."""
    import itertools

    from theradose.errors import SettingsError, Where
    from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h
    from theradose.physics.voxel_s import voxel_s_gy_per_mbq_h

    with refusal(as_json):
        _checked(nuclide, spacing_mm=spacing_mm, density_g_per_ml=[density])
        if len(spacing_mm) != AXES:
            got, where = f"{len(spacing_mm)} edges", Where(field="spacing_mm")
            raise SettingsError("a voxel has three edges", where=where, got=got, expected="3", code="not_three_edges")
        a, b, c = spacing_mm
        s = mgy_per_mbq_s_from_gy_per_mbq_h(voxel_s_gy_per_mbq_h(nuclide, (a, b, c), density, (offsets + 1,) * AXES))  # type: ignore[arg-type]
        places = list(itertools.product(range(offsets + 1), repeat=AXES))
        report = {
            "radionuclide": nuclide,
            "spacing_mm": spacing_mm,
            "density_g_per_ml": density,
            "unit": "mGy/(MBq.s)",
            "values": {",".join(map(str, place)): float(s[place]) for place in places},
        }
    size = " x ".join(f"{edge:g}" for edge in spacing_mm)
    lines = [f"Voxel S of {nuclide}, {size} mm, {density:g} g/mL, in mGy/(MBq.s)", "  offset      S"]
    answer(report, as_json, [*lines, *(f"  {key:<12}{value:.4g}" for key, value in report["values"].items())])  # type: ignore[attr-defined]


def sphere(
    *,
    nuclide: Annotated[str, typer.Option(help="Radionuclide, e.g. Lu-177; short-lived progeny are included.")],
    mass_g: Annotated[list[float], typer.Option("--mass-g", help="Mass in g, one or more.")],
    density: Annotated[float, typer.Option(help="Density in g/mL.")] = 1.04,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the self S of uniform spheres: electrons that leave and photons that stay are counted."""
    from theradose.physics.kernels import sphere_parts_mev, sphere_s_gy_per_mbq_h
    from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h

    with refusal(as_json):
        _checked(nuclide, mass_g=mass_g, density_g_per_ml=[density])
        s = [mgy_per_mbq_s_from_gy_per_mbq_h(sphere_s_gy_per_mbq_h(nuclide, mass, density)) for mass in mass_g]
        parts = [tuple(float(part) for part in sphere_parts_mev(nuclide, mass, density)) for mass in mass_g]
    single = len(mass_g) == 1
    report = {
        "radionuclide": nuclide,
        "density_g_per_ml": density,
        "mass_g": mass_g[0] if single else mass_g,
        "s_mgy_per_mbq_s": s[0] if single else s,
        "electron_mev": parts[0][0] if single else [part[0] for part in parts],
        "photon_mev": parts[0][1] if single else [part[1] for part in parts],
    }
    lines = [
        f"Spheres of {nuclide}, {density:g} g/mL",
        "  mass g      S mGy/(MBq.s)   kept per decay, MeV: electrons, photons",
    ]
    rows = zip(mass_g, s, parts, strict=True)
    answer(report, as_json, lines + [f"  {m:<12g}{v:<16.4g}{e:.5f}, {p:.5f}" for m, v, (e, p) in rows])
