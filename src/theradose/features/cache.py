"""Features made once are not made again: kept by everything they come from, so that nothing stale comes back."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.features.engine import engine
from theradose.features.presets import Preset
from theradose.imaging.volume import Volume
from theradose.provenance import code_digest

LIBRARIES = ("numpy", "scipy", "SimpleITK", "PyWavelets", "pandas")
MADE_BY = "theradose.features.patient"
HASHED = 32


@dataclass(frozen=True)
class FeatureCache:
    """A folder of tables, each named by the hash of image, masks with their names, preset and code; None keeps none."""

    folder: Path | None = None

    def get(
        self,
        volume: Volume,
        masks: Mapping[str, np.ndarray],
        preset: Preset,
        min_voxels: int,
        make: Callable[[], pd.DataFrame],
    ) -> pd.DataFrame:
        """Return what `make` returns for this image (z, y, x), these masks and this preset, from the folder if there.

        A file that is damaged is made again: its first 32 bytes are the hash of the others.
        """
        if self.folder is None:
            return make()
        key = hashlib.sha256()
        for part in _parts(volume, masks, preset, min_voxels):
            key.update(hashlib.sha256(part).digest())
        file = self.folder / f"{key.hexdigest()}"
        kept = file.read_bytes() if file.is_file() else b""
        if kept[:HASHED] == hashlib.sha256(kept[HASHED:]).digest():
            handle = io.BytesIO(kept[HASHED:])
            return pd.read_parquet(handle)
        made = make()
        table = made.to_parquet(None, index=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        mine = file.with_suffix(f".{os.getpid()}")
        mine.write_bytes(hashlib.sha256(table).digest() + table)
        mine.replace(file)
        return made


def _parts(volume: Volume, masks: Mapping[str, np.ndarray], preset: Preset, min_voxels: int) -> Iterator[bytes]:
    """Yield everything that features depend on, as bytes."""
    code = [code_digest(MADE_BY), engine(), *(f"{name} {version(name)}" for name in LIBRARIES)]
    about = [code, asdict(preset), min_voxels, volume.unit, asdict(volume.grid), str(volume.values.dtype), list(masks)]
    yield json.dumps(about).encode()
    yield np.ascontiguousarray(volume.values).tobytes()
    for mask in masks.values():
        yield np.packbits(mask).tobytes()
