"""Gather the figures that people compare."""


def summary() -> None:
    """Gather the figures that people compare."""
    from pipeline.base import files
    from pipeline.base.paths import METRICS
    from pipeline.console.progress import log
    from pipeline.lineage import results as summary
    from pipeline.planning import specs

    spec = specs.read("summary")
    table = summary.rows(spec["nodes"])
    files.write_json(METRICS / "summary.json", summary.figures(table))
    log(f"summary: {len(table)} networks; `python -m pipeline summary` shows the table")
