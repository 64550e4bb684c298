"""Gather the figures that people compare, and print the table."""


def summary() -> None:
    """Gather the figures that people compare, and print the table."""
    from pipeline import files, summary
    from pipeline.paths import METRICS, PLAN

    spec = files.read_json(PLAN / "summary.json")
    table = summary.rows(spec["nodes"])
    files.write_json(METRICS / "summary.json", summary.figures(table))
    summary.show(summary.lines(table))
