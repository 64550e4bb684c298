"""Gather the figures that people compare."""


def summary() -> None:
    """Gather the figures that people compare."""
    from pipeline.base import files
    from pipeline.base.paths import METRICS
    from pipeline.console.progress import say
    from pipeline.lineage import results as summary
    from pipeline.planning.specs.readers import SummarySpec
    from pipeline.planning.specs.spec import read_spec

    table = summary.rows(read_spec("summary", SummarySpec).nodes)
    files.write_json(METRICS / "summary.json", summary.figures(table))
    say(f"summary: {len(table)} networks; `python -m pipeline summary` shows the table")
