"""Decay chains: what a decay of the parent leaves in the end, when its progeny decay where they were born.

A decay of the parent is followed, sooner or later, by the decays of its progeny. Integrated over all time the number of
decays of a daughter per decay of the parent is exactly the product of the branching fractions, summed over the paths:
no equilibrium, secular or transient, is assumed. The half-lives matter for what a scan sees at one time, which is the
`equilibrium_ratios`: 1.105 for Bi-212 under Pb-212, T1 / (T1 - T2).

Counted are daughters that live shorter than the parent. One that outlives it (Bi-207, 32.9 y, behind At-211) gives its
energy in years, mostly outside the patient: it is named by `long_lived` and left out.

The trap: the sum belongs to the place of the parent's decay. The nucleus that recoils from an alpha decay has about
100 keV, enough to break any chelate; Bi-213 (46 min) and Bi-212 then go their own way, to the kidneys above all. Where
that happens take the energies of each nuclide apart, each with its own time-activity curve.
"""

from dataclasses import replace

from theradose.physics.nuclides import Nuclide, nuclide
from theradose.physics.units import local_dose_gy

# Relative biological effectiveness of alpha particles for deterministic effects, as MIRD Pamphlet No. 22 advises:
# Sgouros et al., J Nucl Med 2010;51:311-328. The same is taken for the recoiling nuclei.
RBE_ALPHA = 5.0
ENERGIES = ("electron_kev", "photon_kev", "alpha_kev", "recoil_kev")


def _walk(name: str, *, equilibrium: bool) -> dict[str, float]:
    """Return a number per daughter: decays per decay of the parent, or activity per activity of the parent."""
    parent = nuclide(name)
    found: dict[str, float] = {}
    layer = {name: 1.0}
    while layer:
        below: dict[str, float] = {}
        for member, share in layer.items():
            for child, branch in nuclide(member).daughters:
                decay = nuclide(child).lambda_per_h
                if decay > parent.lambda_per_h:
                    growth = decay / (decay - parent.lambda_per_h) if equilibrium else 1.0
                    below[child] = below.get(child, 0.0) + share * branch * growth
        found |= {child: found.get(child, 0.0) + share for child, share in below.items()}
        layer = below
    return found


def progeny_yields(name: str) -> dict[str, float]:
    """Return the decays of each daughter per decay of the parent, over all time: sum over paths of branching products.

    Branching fractions: ICRP Publication 107. SettingsError when the nuclide is unknown.

    >>> progeny_yields("Pb-212")
    {'Bi-212': 1.0, 'Po-212': 0.6406, 'Tl-208': 0.3594}
    """
    return _walk(name, equilibrium=False)


def equilibrium_ratios(name: str) -> dict[str, float]:
    """Return the activity of each daughter per activity of the parent, long after any chemical separation.

    Bateman: every step multiplies by branch lambda_d / (lambda_d - lambda_parent). A sample that is measured by the
    photons of a daughter needs this number; a time-integrated activity needs `progeny_yields`.

    >>> round(equilibrium_ratios("Pb-212")["Bi-212"], 4)   # 10.64 / (10.64 - 1.0092)
    1.1048
    """
    return _walk(name, equilibrium=True)


def long_lived(name: str) -> tuple[str, ...]:
    """Return the daughters that outlive the parent, whose energy no chain sum holds.

    >>> long_lived("At-211")
    ('Bi-207',)
    """
    yields = progeny_yields(name)
    members = (name, *yields)
    return tuple(child for member in members for child, _ in nuclide(member).daughters if child not in yields)


def chain_energy(name: str) -> Nuclide:
    """Return the parent with its progeny in place: a radionuclide whose energies are sums over the chain.

    E = E_parent + sum_d y_d E_d, y_d of `progeny_yields`, keV per decay of the parent. It has no progeny left, so that
    dose engines take it as any other; its dose is right only where the progeny decay at the place of the parent.

    >>> round(chain_energy("Ac-225").alpha_kev)   # 5787 of Ac-225 itself
    27481
    >>> chain_energy("Lu-177") == nuclide("Lu-177")
    True
    """
    parent = nuclide(name)
    yields = progeny_yields(name)
    sums = {
        kind: getattr(parent, kind) + sum(share * getattr(nuclide(child), kind) for child, share in yields.items())
        for kind in ENERGIES
    }
    return replace(parent, **sums, progeny=(), daughters=())


def rbe_weighted_kev(source: Nuclide, rbe: float = RBE_ALPHA) -> float:
    """Return the local energy per decay in keV with that of alphas and recoils times `rbe` (1): the RBE-weighted one.

    >>> round(rbe_weighted_kev(chain_energy("Pb-212")) / chain_energy("Pb-212").local_kev, 3)
    4.593
    """
    return source.electron_kev + rbe * (source.alpha_kev + source.recoil_kev)


def dose_columns_gy(tia_mbq_h: float, mass_g: float, source: Nuclide, rbe: float = RBE_ALPHA) -> tuple[float, float]:
    """Return `dose_gy` and `dose_rbe_gy`: the physical and the RBE-weighted dose of complete local absorption, in Gy.

    D = TIA E / m with E the local energy, plain and RBE-weighted; two columns because limits of beta therapy speak of
    neither for alphas. `tia_mbq_h` in MBq.h of the parent, `mass_g` in g; `rbe` 5 (MIRD Pamphlet No. 22, 2010).

    >>> [round(dose, 3) for dose in dose_columns_gy(1.0, 100.0, chain_energy("Ac-225"))]
    [0.165, 0.811]
    """
    return (
        local_dose_gy(tia_mbq_h, source.local_kev, mass_g),
        local_dose_gy(tia_mbq_h, rbe_weighted_kev(source, rbe), mass_g),
    )
