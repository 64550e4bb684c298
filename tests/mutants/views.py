"""Small faults of views: what is drawn, and how it is rendered."""

from tests.mutants.mutant import Mutant

DRAWING = "tests/data/test_drawing.py"
RENDER = "tests/data/test_render.py"
COLOUR = "tests/data/test_colour.py"
VIEWS = "tests/config/test_views.py"

MUTANTS = [
    # What is drawn.
    Mutant(
        "pipeline/data/drawing.py",
        "lambda *name: generator(seed, stream, v, *name)",
        "lambda *name: generator(seed, stream, *name)",
        f"{DRAWING}::test_another_view_seed_or_stream_has_other_numbers",
    ),
    Mutant(
        "pipeline/data/drawing.py",
        'draw("erasing").random((count, 3))',
        'draw("trivial").random((count, 3 + bool(views.hue)))[:, -3:]',
        f"{DRAWING}::test_no_operation_moves_anothers_numbers",
    ),
    Mutant(
        "pipeline/data/drawing.py",
        "np.sqrt(share / wide), np.sqrt(share * wide)",
        "np.sqrt(share * wide), np.sqrt(share / wide)",
        f"{DRAWING}::test_crops_equal_the_slow_twin",
    ),
    Mutant(
        "pipeline/data/drawing.py",
        "        left = left[~fits]\n",
        "        left = left[:0]\n",
        f"{DRAWING}::test_crops_equal_the_slow_twin",
    ),
    Mutant(
        "pipeline/data/drawing.py",
        "share_N = 1 - h_N * w_N",
        "share_N = 1 - edge_N * edge_N",
        f"{DRAWING}::test_a_cutmix_share_is_what_its_box_leaves",
    ),
    Mutant(
        "pipeline/data/drawing.py",
        "torch.where(negative_N, -level_N, level_N)",
        "level_N",
        f"{DRAWING}::test_trivial_augment_draws_each_operation_level_and_sign_alike",
    ),
    # Pixels.
    Mutant(
        "pipeline/data/resample.py",
        "support_B1 = scale_B1.clamp(min=1.0)",
        "support_B1 = torch.ones_like(scale_B1)",
        f"{RENDER}::test_any_box_is_cut_and_resized_as_pillow_does",
    ),
    Mutant(
        "pipeline/data/resample.py",
        "torch.where((at_BS >= 0) & (at_BS < width), weight_BS, 0)",
        "weight_BS",
        f"{RENDER}::test_any_box_is_cut_and_resized_as_pillow_does",
    ),
    Mutant(
        "pipeline/data/render.py",
        "torch.where(drawn.flip_N, -drawn.zoom.x_N, drawn.zoom.x_N)",
        "drawn.zoom.x_N",
        f"{RENDER}::test_a_resized_crop_of_a_square_image_is_where_it_ever_was",
    ),
    Mutant(
        "pipeline/data/render.py",
        "for edges in ((size, h), (size, size)):",
        "for edges in ((w, size), (size, size)):",
        f"{RENDER}::test_a_batch_on_any_device_is_rendered_as_its_images_one_by_one",
    ),
    Mutant(
        "pipeline/data/render.py",
        "change(result[rows], by_B[rows])",
        "change(images_BCSS[rows], by_B[rows])",
        f"{RENDER}::test_all_operations_together_equal_the_slow_twin_at_every_size",
    ),
    Mutant(
        "pipeline/data/render.py",
        "drawn.mixed.partner_N[rows_B]",
        "rows_B.roll(1)",
        f"{RENDER}::test_a_row_is_rendered_the_same_in_any_company_and_by_any_number_of_threads",
    ),
    Mutant(
        "pipeline/data/render.py",
        "torch.where(is_mixup, share, (~inside).float())",
        "torch.where(is_mixup, share, inside.float())",
        f"{RENDER}::test_mixing_equals_the_slow_twin",
    ),
    Mutant(
        "pipeline/data/render.py",
        "over(short_B.double(), drawn.edge) if drawn.edge else torch.ones_like(short_B).double()",
        "torch.ones_like(short_B).double()",
        f"{RENDER}::test_a_shift_is_as_large_a_share_of_an_image_of_another_size",
    ),
    Mutant("pipeline/data/colour.py", "* GREEN + blue * BLUE", "* BLUE + blue * GREEN", COLOUR),
    Mutant(
        "pipeline/data/colour.py",
        "(2 * grey_BP.sum(dim=1) + count) // (2 * count)",
        "grey_BP.sum(dim=1) // count",
        f"{COLOUR}::test_jitter_equals_pillow",
    ),
    Mutant("pipeline/data/colour.py", "(step // 2 + below) // step", "below // step", COLOUR),
    Mutant("pipeline/data/trivial.py", "a * 0.5 + b * 0.5", "0.5", COLOUR),
    # The section.
    Mutant("pipeline/config/views.py", "if key in ALWAYS or value != getattr(STILL, key)", "", VIEWS),
    Mutant("pipeline/config/views.py", "{**PRESETS[word], **values}", "{**values, **PRESETS[word]}", VIEWS),
    Mutant(
        "pipeline/planning/planner.py",
        "            if not value:\n                continue\n            raise",
        "            continue\n            raise",
        "tests/planning/test_build.py::test_mixed_images_are_refused_until_a_training_learns_from_them",
    ),
    Mutant(
        "pipeline/config/presets.py",
        "if key in EXACT else []",
        "if False else []",
        "tests/config/test_presets.py::test_a_preset_leaves_no_operation_of_other_views",
    ),
]
