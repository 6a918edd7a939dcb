"""Prepared models derived from another one."""

import shutil
from pathlib import Path

import msgspec

from tandem_embedder.model.prepared_model import MANIFEST_NAME, read_manifest


def under_another_fingerprint(model_dir: Path, target: Path) -> Path:
    """Return a copy of a prepared model in ``target`` with other fingerprints: another model for a gateway."""
    shutil.copytree(model_dir, target)
    manifest = read_manifest(target)
    variants = {
        name: msgspec.structs.replace(variant, fingerprint=variant.fingerprint[::-1])
        for name, variant in manifest.variants.items()
    }
    path = target / MANIFEST_NAME
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, variants=variants)))
    return target
