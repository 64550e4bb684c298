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
    Mutant(
        "pipeline/compression/steps/prune.py",
        '"rounds": {"what": ["filters"]}, ',
        "",
        "tests/config/test_effect.py::test_a_key_of_a_step_is_refused_exactly_where_it_makes_the_same_network",
    ),
    Mutant(
        "pipeline/config/across.py",
        "yield from _teaching(raw, trained)",
        "_teaching(raw, trained)",
        "tests/config/test_effect.py::test_each_key_alone_changes_the_plan_or_is_refused",
    ),
    Mutant(
        "pipeline/compression/model_card.py",
        "ImageOps.exif_transpose(image, in_place=True)",
        "image.load()",
        "tests/compression/test_model_card.py",
    ),
    Mutant(
        "pipeline/evaluation/ensemble.py",
        "logits_MNC[:, ~held_N], y_N[~held_N]",
        "logits_MNC, y_N",
        "tests/evaluation/test_ensemble.py",
    ),
    Mutant(
        "pipeline/evaluation/statistics.py",
        "(len(values) - k) * values[position]",
        "values[position]",
        "tests/evaluation/test_statistics.py",
    ),
    Mutant(
        "pipeline/training/job.py",
        "previous.same_data and ",
        "",
        "tests/training/test_job.py",
    ),
    Mutant(
        "pipeline/compression/costs.py",
        'node.input[1] if node.op_type in LAYERS else ""',
        "node.input[-1]",
        "tests/compression/test_onnx_file.py",
    ),
]
