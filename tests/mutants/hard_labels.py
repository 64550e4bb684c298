"""Small faults of what is made of rows without a hard label, and of mixed ones."""

from tests.mutants.mutant import Mutant

HARD = "pipeline/objectives/hard_labels.py"
CROSS = "pipeline/objectives/cross_entropy.py"
LOOP = "pipeline/training/loop.py"
LOSSES = "tests/objectives/test_hard_labels.py"
TRAINED = "tests/training/test_unlabelled.py"
PARTS = f"{TRAINED}::test_a_batch_in_parts_has_the_gradient_of_the_whole"
MEAN = f"{TRAINED}::test_the_loss_is_the_mean_over_labelled_rows"
ALL = f"{TRAINED}::test_a_training_with_all_labels_hands_no_signal"
HEADER = "tests/data/test_prepared.py::test_only_training_images_may_lack_a_label_and_only_as_many_as_the_header_says"
SHOWN = "tests/report/test_numbers.py::test_an_image_without_a_label_differs_from_none_and_is_not_shown"
PLANNED = "tests/planning/test_build.py::test_views_that_mix_images_are_refused_where_a_term_needs_one_class"
COMPARED = "tests/training/test_balance.py::test_it_compares_with_the_objective_of_the_hard_labels_mixtures"
BALANCE = f"{TRAINED}::test_batches_without_a_label_do_not_balance"

MUTANTS = [
    Mutant(HARD, "clamp(min=1)", "clamp(min=0)", LOSSES),
    Mutant(HARD, "len(y_B) / has_B", "1 / has_B", LOSSES),
    Mutant(HARD, "has_B | (mixed.share_B == 0)", "has_B", LOSSES),
    Mutant(HARD, " & ((mixed.y_B >= 0) | (mixed.share_B == 1))", "", LOSSES),
    Mutant(HARD, "(1 - self.share_B) * partner_B", "self.share_B * partner_B", LOSSES),
    Mutant(CROSS, "each(mixed.y_B, mixed.w_B)", "each(mixed.y_B, w_B)", LOSSES),
    Mutant("pipeline/training/balance.py", "each(mixed.y_B))", "each(y_B))", COMPARED),
    Mutant(CROSS, "(loss_B if l_B is None else l_B * loss_B)", "loss_B", LOSSES),
    Mutant("pipeline/objectives/cwtm.py", "known_B = l_B * confidence_B", "known_B = confidence_B", LOSSES),
    Mutant("pipeline/objectives/cwtm.py", "return l_B.mean() * known_B", "return known_B", LOSSES),
    Mutant("pipeline/objectives/dkd.py", "return (l_B * F.kl_div", "return (F.kl_div", LOSSES),
    Mutant("pipeline/objectives/compose.py", "w_B=weights_C[signals.mixed.y_B]", "w_B=weights_C[signals.y_B]", LOSSES),
    Mutant("pipeline/objectives/compose.py", '"y_B" in term.needs and signal', "signal", LOSSES),
    Mutant("pipeline/objectives/compose.py", '"l_B": "images without a label", ', "", LOSSES),
    Mutant("pipeline/config/term.py", 'and "mixed" not in taken', "", LOSSES),
    Mutant("pipeline/config/term.py", "if mixes and (names", "if (names", LOSSES),
    Mutant(
        "pipeline/planning/planner.py", "where, self.params.views.mixes", "where, False", "tests/planning/test_build.py"
    ),
    Mutant(LOOP, "None if self.all_labelled else counts(y_B, mixed)", "None", MEAN),
    Mutant(LOOP, "None if self.all_labelled else counts(y_B, mixed)", "counts(y_B, mixed)", ALL),
    Mutant("pipeline/training/parts.py", "l_B[own]", "counts(y_B[own])", PARTS),
    Mutant("pipeline/training/parts.py", "mixed.share_B[own])", "mixed.share_B[: len(rows_B)])", PARTS),
    Mutant("pipeline/training/balance.py", "            if not labelled:\n                continue\n", "", BALANCE),
    Mutant("pipeline/training/balance.py", "l_B if labelled < len(y_B) else None", "None", BALANCE),
    Mutant(
        "pipeline/data/prepared.py",
        'header.unlabelled if split == "train" else 0',
        "header.unlabelled",
        HEADER,
    ),
    Mutant("pipeline/report/soft_labels.py", "(y_N >= 0) & (other_N >= 0)", "(y_N >= y_N)", SHOWN),
]
