"""Turn params.yaml and the code into one small spec a stage."""


def plan() -> None:
    """Turn params.yaml and the code into one small spec a stage."""
    from pathlib import Path

    from pipeline.base.paths import PLAN
    from pipeline.config import params
    from pipeline.planning import graph
    from pipeline.planning.build import build
    from pipeline.planning.specs.spec import write_specs

    write_specs(build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml"))), PLAN)
