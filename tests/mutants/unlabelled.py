"""Small faults of what is made of images without a label: where they are found, what they may not do, who learns."""

from tests.mutants.mutant import Mutant

SPLITS = "pipeline/data/splits.py"
NAMES = "pipeline/data/names.py"
LISTING = "pipeline/data/listing.py"
HOLDERS = "pipeline/data/holders.py"
TABLES = "pipeline/data/tables.py"
TARS = "pipeline/data/tars.py"
LOOP = "pipeline/training/loop.py"
FOUND = "tests/data/test_unlabelled.py"
LEARNED = "tests/training/test_learned_rows.py"
APART = f"{FOUND}::test_what_hangs_together_with_a_held_out_image_trains_nothing"
STILL = f"{FOUND}::test_they_move_no_labelled_row_whatever_their_number"
COUNTED = f"{FOUND}::test_subset_and_noise_are_those_of_labelled_rows"
REFUSED = f"{FOUND}::test_what_leaves_nothing_to_learn_or_to_measure_is_refused"
FOLDER = f"{FOUND}::test_a_folder_of_that_name_beside_train"
COPIES = f"{FOUND}::test_copies_of_images_that_validate_or_test_are_left_out_and_named"
ALONE = f"{LEARNED}::test_hard_labels_alone_train_bit_for_bit_as_without_the_others"

MUTANTS = [
    # Where they are found.
    Mutant(NAMES, "name.casefold() in", "name in", FOLDER),
    Mutant(NAMES, 'value in ("", "-1")', 'value == ""', "tests/data/test_manifest.py"),
    Mutant(NAMES, "type(value) is int and value == NO_LABEL", "False", "tests/data/test_manifest.py"),
    Mutant(NAMES, "type(value) is int and value == NO_LABEL", "value == NO_LABEL", "tests/data/test_manifest.py"),
    Mutant("pipeline/data/manifest.py", 'split or "train"', 'split or "test"', "tests/data/test_manifest.py"),
    Mutant(LISTING, "            unlabelled += own\n", "", FOLDER),
    Mutant(
        LISTING,
        'own and split != "train"',
        "False",
        f"{FOUND}::test_a_folder_of_that_name_that_cannot_be_used_is_refused",
    ),
    Mutant(LISTING, 'parts += ["train"] * len(members)', 'parts += ["test"] * len(members)', FOLDER),
    Mutant(HOLDERS, "for name in names if name not in unlabelled", "for name in names", "tests/data/test_tables.py"),
    Mutant(TABLES, 'key == "label_column" and name in', "name in", "tests/data/test_tables.py"),
    Mutant(TABLES, "if not 0 <= value < len(classes)", "if value >= len(classes)", "tests/data/test_tables.py"),
    Mutant(TABLES, "values += [None] * table.count", "values += [0] * table.count", "tests/data/test_tables.py"),
    Mutant(TARS, "labels = dict.fromkeys(labels)", "pass", "tests/data/test_tars.py"),
    Mutant(TARS, "images and not labels.keys() & images.keys()", "False", "tests/data/test_tars.py"),
    # What they may not do.
    Mutant(SPLITS, "last] % classes\n    return", "last] % classes\n    label_U = label_U.clip(0)\n    return", STILL),
    Mutant(SPLITS, "np.bincount(of_N[known_N], minlength", "np.bincount(of_N, minlength", STILL),
    Mutant(SPLITS, "if (source.labels[pool] == NO_LABEL).any():", "if False:", APART),
    Mutant(
        SPLITS, "        is_held_U[units.of_N[np.searchsorted(every, rows[split])]] = True\n", "        pass\n", COPIES
    ),
    Mutant(SPLITS, "for split in HELD_OUT:\n        is_held", 'for split in ("test",):\n        is_held', COPIES),
    Mutant(
        SPLITS, "unite(every, source.labels, ids_N, source.groups", "unite(every, source.labels, ids_N, None", APART
    ),
    Mutant(SPLITS, "kept = [order[source.labels[order] == NO_LABEL]]", "kept = []", COUNTED),
    Mutant(SPLITS, "round(share * len(known_M))", "round(share * len(labels_N))", COUNTED),
    Mutant(SPLITS, "(count := len(source.classes)) < 2", "not (count := len(source.classes))", REFUSED),
    Mutant(SPLITS, 'if source.splits[row] != "train"]', "if False]", REFUSED),
    Mutant(SPLITS, "True)[: len(pairs)]", "True)", REFUSED),
    Mutant(
        "pipeline/data/remarks.py",
        "(content_N[known_N], source.labels[read_N][known_N])",
        "(content_N, source.labels[read_N])",
        COPIES,
    ),
    Mutant(
        "pipeline/data/remarks.py",
        'np.setdiff1d(_unlabelled(source, examined), rows["train"])',
        "np.arange(0)",
        COPIES,
    ),
    Mutant(
        "pipeline/data/prepare.py",
        "(UNITS, LEFT_OUT)",
        "(UNITS,)",
        "tests/data/test_remarks.py::test_what_is_left_out_is_recorded_and_binds_no_label",
    ),
    # Who learns from them.
    Mutant("pipeline/config/term.py", 'return all("y_B" in', 'return any("y_B" in', LEARNED),
    Mutant(
        "pipeline/planning/unlabelled.py",
        'training.get("members") or [training]',
        "[]",
        "tests/planning/test_unlabelled.py",
    ),
    Mutant(
        "stages/__main__.py",
        "if bare and not are_learned()",
        "if not are_learned()",
        "tests/planning/test_unlabelled.py",
    ),
    Mutant("pipeline/training/learned_rows.py", "if all(needs_labels", "if any(needs_labels", LEARNED),
    Mutant(LOOP, "self.rows_N[order(self.spec.seed, epoch, len(self.rows_N))]", "self.rows_N", LEARNED),
    Mutant(LOOP, "return self.rows_N[balanced_order(", "return np.arange(len(self.labels_N))[balanced_order(", LEARNED),
    Mutant(
        LOOP,
        "drawn.mixed_among(self.rows_N)",
        "drawn",
        f"{LEARNED}::test_hard_labels_alone_are_mixed_with_labelled_rows_only",
    ),
    Mutant(
        "pipeline/data/drawn.py",
        "torch.ones_like(self.mixed.share_N)",
        "self.mixed.share_N",
        f"{LEARNED}::test_hard_labels_alone_are_mixed_with_labelled_rows_only",
    ),
    Mutant(
        LOOP,
        "                if (labels_N[batch.rows.host_B] >= 0).any():\n                    yield",
        "                if True:\n                    yield",
        f"{LEARNED}::test_the_batches_that_balance_have_labels_however_few_there_are",
    ),
    Mutant(
        "pipeline/training/probe.py",
        "torch.searchsorted(self.rows.device_B, rows.device_B)",
        "rows.device_B",
        f"{LEARNED}::test_a_linear_probe_looks_at_labelled_rows_alone",
    ),
    Mutant(
        "pipeline/console/training.py",
        "'of them' if self.learns_all else 'more'",
        "'of them'",
        "tests/training/test_job.py",
    ),
]
