"""What a release brings beside its code."""

from pathlib import Path

from pipeline.base.paths import CODE


def shipped() -> Path:
    """Where the release's own params.yaml, dvc.yaml and their likes lie: carried by a wheel, or at a checkout's top."""
    carried = CODE / "pipeline" / "template"
    return carried if carried.is_dir() else CODE
