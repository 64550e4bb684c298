"""Write report.html: the whole run on one page."""


def report() -> None:
    """Write report.html: the whole run on one page."""
    from pipeline.base import files
    from pipeline.base.paths import REPORT
    from pipeline.console.progress import say
    from pipeline.planning.specs.readers import ReportSpec
    from pipeline.planning.specs.spec import read_spec
    from pipeline.report.page import render
    from pipeline.report.run import Run

    files.write_text(REPORT, render(Run(read_spec("report", ReportSpec))))
    say(f"report: open {REPORT} in a browser")
