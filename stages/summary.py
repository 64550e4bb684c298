"""Gather the figures that people compare."""


def summary() -> None:
    """Gather the figures that people compare."""
    from pipeline import files, specs, summary
    from pipeline.paths import METRICS
    from pipeline.progress import say

    spec = specs.read("summary")
    table = summary.rows(spec["nodes"])
    files.write_json(METRICS / "summary.json", summary.figures(table))
    say(f"summary: {len(table)} networks; `python -m pipeline summary` shows the table")
