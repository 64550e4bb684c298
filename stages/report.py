"""Write report.html: the whole run on one page."""


def report() -> None:
    """Write report.html: the whole run on one page."""
    from pipeline.base import files
    from pipeline.base.paths import REPORT
    from pipeline.console.progress import log
    from pipeline.planning import specs
    from pipeline.report.page import render
    from pipeline.report.run import Run

    files.write_text(REPORT, render(Run(specs.read("report"))))
    log(f"report: open {REPORT} in a browser")
