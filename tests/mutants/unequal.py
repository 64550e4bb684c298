"""Small faults of what decides, and of what is done where classes are of unequal size."""

from tests.mutants.mutant import Mutant

SELECT = "pipeline/config/select.py"
METRICS = "pipeline/evaluation/metrics.py"
UNEQUAL = "pipeline/data/unequal.py"
SCORES = "tests/evaluation/test_metrics.py"
CHAIN = "tests/lineage/test_chain.py"
ORDERS = "tests/data/test_unequal.py"
TRAINED = "tests/training/test_unequal.py"
KEPT = "tests/training/test_kept.py"
PLANNED = "tests/planning/test_build.py"
PARAMS = "tests/config/test_params.py"
OBJECTIVE = "tests/objectives/test_compose.py::test_weights_of_classes_reach_the_terms_on_hard_labels_and_no_others"
MEAN = f"{TRAINED}::test_the_loss_of_a_batch_is_the_weighted_mean"

MUTANTS = [
    # The metric that decides.
    Mutant(SELECT, "rises=False, ", "", CHAIN),
    Mutant(
        "pipeline/lineage/chain.py", "max(merits[:-patience]) + min_gain", "max(merits[:-patience]) - min_gain", CHAIN
    ),
    Mutant("pipeline/lineage/chain.py", "metric.merit(pair[1])", "pair[1]", CHAIN),
    Mutant("pipeline/training/kept.py", "max(known, key=metric.merit)", "max(known)", KEPT),
    Mutant("pipeline/training/kept.py", "metric.merit(last) > max", "last > max", KEPT),
    Mutant("pipeline/training/checkpoint.py", "rows[k][metric.column]", 'rows[k]["validation_accuracy"]', KEPT),
    Mutant("pipeline/training/loop.py", "metric_of(spec.select)", "metric_of(None)", KEPT),
    Mutant("pipeline/lineage/node.py", "metric_of(self.select)", "metric_of(None)", "tests/training/test_stage.py"),
    Mutant(
        "pipeline/training/export.py",
        "        select=spec.select,\n",
        "",
        f"{TRAINED}::test_a_node_tells_the_figure_that_decides",
    ),
    Mutant(
        "pipeline/training/export.py",
        'metrics["validation"][metric_of(spec.select).name]',
        'metrics["validation"]["accuracy"]',
        f"{TRAINED}::test_a_node_tells_the_figure_that_decides",
    ),
    Mutant("pipeline/planning/planner.py", "self.select if follows else None", "self.select", PLANNED),
    Mutant(
        "pipeline/planning/planner.py",
        "section.recipe.chooses and has_logits",
        "section.recipe.chooses or has_logits",
        PLANNED,
    ),
    Mutant(
        "pipeline/report/generations.py",
        "max(deciding, key=metric.merit)",
        "max(deciding)",
        "tests/report/test_numbers.py",
    ),
    Mutant("pipeline/commands/study.py", "metric.merit(tried[each])", "tried[each]", "tests/commands/test_study.py"),
    # What is measured.
    Mutant(METRICS, "(right_C / count_C)[count_C > 0]", "(right_C / count_C.clamp(min=1))", SCORES),
    Mutant(METRICS, "(guessed_C + count_C))[count_C > 0]", "(guessed_C + count_C))[guessed_C + count_C > 0]", SCORES),
    Mutant(METRICS, "2 * right_C / (guessed_C", "right_C / (guessed_C", SCORES),
    Mutant(METRICS, "(logits_NC == own_N1) & before_NC", "(logits_NC == own_N1) & ~before_NC", SCORES),
    Mutant(METRICS, "logits_NC.shape[1] > TOP", "logits_NC.shape[1] >= TOP", SCORES),
    # What is done where classes are of unequal size.
    Mutant(UNEQUAL, "has_C.sum() * count_C[has_C]", "classes * count_C[has_C]", ORDERS),
    Mutant(UNEQUAL, "labels_N[has_label_N], drawn_N", "labels_N.clip(0), weights_N", ORDERS),
    Mutant(UNEQUAL, "for c in np.unique(labels_N[labels_N >= 0])", "for c in np.unique(labels_N)", ORDERS),
    Mutant(UNEQUAL, "random.permutation(np.flatnonzero(weights_N))", "np.flatnonzero(weights_N)", ORDERS),
    Mutant(UNEQUAL, "(random.random() + np.arange(count))", "(0.5 + np.arange(count))", ORDERS),
    Mutant(UNEQUAL, "return random.permutation(rows_M[", "return (rows_M[", ORDERS),
    Mutant(UNEQUAL, "of_N.sum() if c < 0 else ", "", ORDERS),
    Mutant(
        "pipeline/training/loop.py", "self.data.weights[self.rows_N]", "self.data.weights[: len(self.rows_N)]", TRAINED
    ),
    Mutant("pipeline/training/loop.py", "if is_balanced else weights_N", "if False else weights_N", TRAINED),
    Mutant("pipeline/training/loop.py", "len(data.classes), data.weights)", "len(data.classes))", TRAINED),
    Mutant(UNEQUAL, "random.permutation(len(rows)) < rest", "np.arange(len(rows)) < rest", ORDERS),
    Mutant(UNEQUAL, "random.permutation(own)[:left]", "own[:left]", ORDERS),
    Mutant(UNEQUAL, "random.permutation(own)[:left]", "random.choice(own, left)", ORDERS),
    Mutant(UNEQUAL, "return random.permutation(np.concatenate(drawn))", "return np.concatenate(drawn)", ORDERS),
    Mutant(UNEQUAL, 'generator(seed, "balanced order", epoch)', 'generator(seed, "balanced order")', ORDERS),
    Mutant(
        "pipeline/training/loop.py", "balanced_order(self.spec.seed, epoch", "balanced_order(self.spec.seed, 0", TRAINED
    ),
    Mutant(
        "pipeline/objectives/compose.py",
        "w_B=weights_C[signals.y_B]",
        "w_B=weights_C[signals.z_BC.argmax(1)]",
        OBJECTIVE,
    ),
    Mutant("pipeline/objectives/compose.py", "class_weights_C, persistent=False", "class_weights_C", OBJECTIVE),
    Mutant(
        "pipeline/objectives/cross_entropy.py",
        "else l_B * loss_B).mean()",
        "else l_B * loss_B).sum() / (1 if w_B is None else w_B).sum()",
        MEAN,
    ),
    Mutant("pipeline/objectives/cwtm.py", "loss_B if w_B is None else w_B * loss_B", "loss_B", OBJECTIVE),
    Mutant("pipeline/planning/planner.py", 'recipe.pop("class_weights", None)', "pass", PLANNED),
    Mutant(
        "pipeline/config/recipe.py", 'self.class_weights is not None and self.sampling != "uniform"', "False", PARAMS
    ),
    Mutant("pipeline/config/across.py", " or _unweighted(each, key)", "", PARAMS),
]
