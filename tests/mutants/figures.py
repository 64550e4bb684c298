"""Of the figures that are compared, of keys without an effect, and of what a file that ships says of itself."""

from tests.mutants.mutant import Mutant

COST = "tests/evaluation/test_cost.py"

MUTANTS = [
    Mutant("pipeline/evaluation/cost.py", "torch.no_grad(), _unfused(), counter", "torch.no_grad(), counter", COST),
    Mutant(
        "pipeline/evaluation/cost.py",
        "(mha.get_fastpath_enabled, mha.set_fastpath_enabled, False)",
        "(mha.get_fastpath_enabled, mha.set_fastpath_enabled, True)",
        COST,
    ),
    Mutant("pipeline/evaluation/cost.py", "in zip(switches, before, strict=True)", "in ()", COST),
    Mutant("pipeline/evaluation/cost.py", "2 * out_val.numel() * weight[0].numel()", "2 * out_val.numel()", COST),
]
