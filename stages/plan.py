"""Turn params.yaml and the code into one small spec a stage."""


def plan() -> None:
    """Turn params.yaml and the code into one small spec a stage."""
    from pathlib import Path

    from pipeline import graph, params, plan
    from pipeline.paths import PLAN

    specs = plan.build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    plan.write(specs, PLAN)
