"""What the columns of the tables of features mean: a dictionary to stand beside each table."""

import pandas as pd

from theradose.columns import NUMBER, TEXT, Schema, text
from theradose.features.names import feature_names
from theradose.features.sessions import feature_unit
from theradose.features.vois import MEASURED
from theradose.tables import COVARIATES, FEATURES
from theradose.vocabulary import QUANTITIES

DICTIONARY = Schema(
    "dictionary",
    (text("column"), text("of", empty=True), text("kind"), text("unit", empty=True), text("meaning")),
    ("column", "of"),
)
MEANINGS = {
    "patient": "name of the patient in this data set",
    "session": "ses-pre: before therapy; ses-tx1: first cycle",
    "modality": "kind of image",
    "time_h": QUANTITIES["time_h"].meaning,
    "voi": "organ, both sides together; all lesions together",
    "filter": "original, or the filter the image went through (sigma of LoG in mm)",
    "feature_class": "class of PyRadiomics; voi and local are our own",
    "feature": "name of the feature in its class",
    "value": "value of the feature; empty where it cannot be had",
    "status": "ok, or why there is no value",
}
OWN = {"mean": "mean of the VOI", "volume_ml": "volume of the VOI"}


def features_dictionary(features: pd.DataFrame) -> pd.DataFrame:
    """Return the dictionary (schema DICTIONARY) of a table of features (schema FEATURES).

    A row per column, then one for `value` of each feature in it, by `modality.class.feature`.
    """
    units = {"time_h": "h"}
    rows = [(c.name, "", c.kind, units.get(c.name, ""), MEANINGS[c.name]) for c in FEATURES.columns]
    by = ["modality", "feature_class", "feature"]
    for modality, kind, name in features[by].drop_duplicates().sort_values(by).itertuples(index=False):
        unit = QUANTITIES[name].unit if name in QUANTITIES else feature_unit(modality, kind, name)
        rows.append(("value", f"{modality}.{kind}.{name}", NUMBER, unit, feature_meaning(kind, name)))
    return pd.DataFrame(rows, columns=DICTIONARY.names())


def covariates_dictionary(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the dictionary (schema DICTIONARY) of covariates from their manifest (schema COVARIATE_MANIFEST)."""
    rows = [(c.name, "", TEXT, "", MEANINGS[c.name]) for c in COVARIATES.columns]
    about = manifest[["column", "block", "unit", "meaning"]]
    rows += [(column, block, NUMBER, unit, meaning) for column, block, unit, meaning in about.itertuples(index=False)]
    return pd.DataFrame(rows, columns=DICTIONARY.names())


def feature_meaning(feature_class: str, feature: str) -> str:
    """Return what a feature is, with its IBSI code and the name LIFEx has for it."""
    if feature_class == MEASURED:
        return OWN[feature]
    parts = [f"{feature_class} {feature}"]
    for known in feature_names():
        if (known.feature_class, known.feature) == (feature_class, feature):
            parts += [f"IBSI {known.ibsi_code}"] if known.ibsi_code else []
            parts += [f"LIFEx {known.lifex_name}"] if known.lifex_name else []
    return "; ".join(parts)
