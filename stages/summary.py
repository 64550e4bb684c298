"""Gather the figures that people compare, and print the table."""


def summary() -> None:
    """Gather the figures that people compare, and print the table."""
    from pipeline import files, specs, summary
    from pipeline.paths import METRICS

    spec = specs.read("summary")
    table = summary.rows(spec["nodes"])
    files.write_json(METRICS / "summary.json", summary.figures(table))
    summary.show(summary.lines(table))
