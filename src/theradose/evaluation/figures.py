"""What all figures share: one style, one colour for each organ, and bytes that depend on the data alone."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from theradose.vocabulary import LESION_PREFIX, LESIONS, VOIS, organ_of

INK, MUTED, FAINT, PAPER = "#1c2530", "#66707c", "#d9dee4", "#ffffff"
MINUS = "\N{MINUS SIGN}"
WIDTH_IN = 10.4
"""The width of a full-width figure; at 96 pixels to the inch it fills the page's column without scaling."""

# Paul Tol's "muted" and "vibrant" schemes, safe for the common colour-vision deficiencies (SRON/EPS/TN/09-002).
ORGAN_COLOURS: dict[str, str] = {
    "kidneys": "#332288", "parotids": "#44aa99", "submandibulars": "#117733", "lacrimals": "#88ccee",
    "liver": "#882255", "spleen": "#aa4499", "marrow": "#999933", LESIONS: "#cc6677",
}  # fmt: skip
OTHER_ORGAN = "#66707c"
SERIES_COLOURS = ("#0077bb", "#ee7733", "#009988", "#cc3311", "#33bbee", "#ee3377")
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "axes.titlesize": 9, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 5, "axes.labelsize": 8.5, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 8, "legend.frameon": False, "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "axes.edgecolor": MUTED, "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#eceff2",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5, "lines.markersize": 4.5, "figure.facecolor": PAPER, "savefig.facecolor": PAPER,
    "svg.hashsalt": "theradose", "svg.fonttype": "path", "axes.formatter.useoffset": False, "path.simplify": True,
    "axes.unicode_minus": True, "figure.dpi": 100,
}  # fmt: skip

P = ParamSpec("P")


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in a page: a data URI, the words beside it, and its width in CSS pixels."""

    uri: str
    alt: str
    caption: str
    width_px: int


def apply_style() -> None:
    """Set the house style in the current matplotlib context."""
    for name, value in STYLE.items():
        mpl.rcParams[name] = value  # type: ignore[index] # names are known to matplotlib, not to the checker


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Return a drawing function that always draws in the house style, whatever the user's matplotlibrc says."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context():
            mpl.rcdefaults()
            apply_style()
            return draw(*args, **kwargs)

    return in_style


def canvas(width_in: float = WIDTH_IN, height_in: float = 3.2) -> Figure:
    """Return an empty figure whose layout keeps every label inside; sizes in inches."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _fix_layout(figure: Figure) -> None:
    """Lay the figure out once; saving would otherwise do the same twice."""
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _bytes(figure: Figure, kind: str, dpi: float) -> bytes:
    """Return the file of a figure without dates or versions in it."""
    buffer = BytesIO()
    metadata: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context():
        mpl.rcdefaults()
        apply_style()
        _fix_layout(figure)
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def as_svg(figure: Figure, alt: str, caption: str = "") -> Picture:
    """Return a figure of lines and points as an SVG picture; text is drawn as outlines, so no font is needed."""
    return _picture(_bytes(figure, "svg", 72), "image/svg+xml", figure, alt, caption)


def as_png(figure: Figure, alt: str, caption: str = "", dpi: float = 170) -> Picture:
    """Return a figure that holds images as a PNG picture of `dpi` pixels to the inch."""
    return _picture(_bytes(figure, "png", dpi), "image/png", figure, alt, caption)


def _picture(content: bytes, mime: str, figure: Figure, alt: str, caption: str) -> Picture:
    """Wrap the bytes of a figure as a data URI."""
    uri = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return Picture(uri, alt, caption, round(float(figure.get_figwidth()) * 96))


def organ_colour(name: str) -> str:
    """Return the colour of an organ or VOI, the same in every figure."""
    organ = name if name in ORGAN_COLOURS else _organ_or_self(name)
    return ORGAN_COLOURS.get(organ, OTHER_ORGAN)


def _organ_or_self(name: str) -> str:
    """Return the organ of a VOI, or the name itself when it is no VOI."""
    return organ_of(name) if name in VOIS or name.startswith(LESION_PREFIX) else name


def series_style(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name (a centre, a predictor), in the order given."""
    pairs = zip(SERIES_COLOURS * 4, SERIES_MARKERS * 4, strict=False)
    return dict(zip(names, pairs, strict=False))


PROPER_NAMES = {
    "mlp": "MLP", "egfr_slope": "slope of eGFR", "pet_scaled": "PET-scaled", "pet_scaled_map": "PET-scaled map",
    "unet": "U-Net", "unet_residual": "residual U-Net",
}  # fmt: skip


def words(name: str) -> str:
    """Return a name for readers: `kidney_left` becomes `kidney left`, `unet` becomes `U-Net`."""
    return PROPER_NAMES.get(name, name.replace("_", " "))


def signed(value: float) -> str:
    """Return a number with one decimal and its sign, the minus as long as the plus."""
    return f"{value:+.1f}".replace("-", MINUS)


def sort_organs(names: Iterable[str]) -> list[str]:
    """Return organs (or VOIs) in the fixed order of the vocabulary, unknown ones last by name."""
    order = [*ORGAN_COLOURS]
    return sorted(set(names), key=lambda n: (order.index(o) if (o := _organ_or_self(n)) in order else len(order), n))


def empty_axis(axes: Axes) -> None:
    """Turn off an axis that has nothing to show."""
    axes.set_axis_off()


def image_axis(axes: Axes) -> None:
    """Prepare an axis for an image: no ticks, no grid, a thin frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)


def corner(axes: Axes, text: str, *, right: bool = False, bottom: bool = False, colour: str = MUTED) -> None:
    """Write small words in a corner of an axis."""
    x, y = (0.97 if right else 0.03), (0.04 if bottom else 0.96)
    axes.text(
        x, y, text, transform=axes.transAxes, ha="right" if right else "left", va="bottom" if bottom else "top",
        fontsize=7.5, color=colour, linespacing=1.35,
    )  # fmt: skip
