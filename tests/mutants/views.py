"""Small faults of views: what is drawn, and how it is rendered."""

from tests.mutants.mutant import Mutant

DRAWING = "tests/data/test_drawing.py"
RENDER = "tests/data/test_render.py"
CUTTERS = "tests/data/test_cutters.py"
COLOUR = "tests/data/test_colour.py"
VIEWS = "tests/config/test_views.py"
FEED = "tests/data/test_feed.py"
PICTURES = "tests/data/test_pictures.py"
RETOUCH = "tests/data/test_retouch.py"
LABELS = "tests/labels/test_renderings.py"
RENDERINGS = "tests/training/test_renderings.py"

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
    Mutant(
        "pipeline/report/soft_labels.py",
        "(guess_N == y_N) | (guess_N == other_N)",
        "guess_N == y_N",
        "tests/report/test_numbers.py::test_a_mixed_crop_differs_where_its_class_is_neither_of_the_two",
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
        "pipeline/data/framing.py",
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
    # Which pixels and labels are mixed, and who sees them.
    Mutant(
        "pipeline/data/feed.py",
        "drawn.mixed.partner_N[torch.from_numpy(rows_B)].numpy()",
        "np.roll(rows_B, 1)",
        f"{FEED}::test_a_row_is_mixed_with_the_same_view_of_its_own_partner_in_any_batch",
    ),
    Mutant(
        "pipeline/data/feed.py",
        "images.of(fetched.cut, needed)",
        "images.of(fetched.cut, rows)",
        f"{FEED}::test_a_row_is_mixed_with_the_same_view_of_its_own_partner_in_any_batch",
    ),
    Mutant(
        "pipeline/data/feed.py",
        "drawn), rows_G, threads)",
        "drawn), rows_G, 0)",
        f"{FEED}::test_what_comes_next_is_read_while_a_batch_is_in_use",
    ),
    Mutant(
        "pipeline/data/feed.py",
        "0 if isinstance(images, Pixels) and images.are_resident else beside",
        "beside",
        f"{FEED}::test_resident_images_need_no_thread",
    ),
    Mutant(
        "pipeline/data/batches.py",
        "0 if self.are_resident else beside",
        "beside",
        f"{FEED}::test_resident_images_need_no_thread",
    ),
    Mutant("pipeline/data/batches.py", '0 if device.type == "cpu" else 2', "0", FEED),
    Mutant("pipeline/data/ahead.py", "if not threads:", "if threads is None:", "tests/data/test_ahead.py"),
    Mutant(
        "pipeline/data/feed.py",
        "mixture = here.of(rows, device).mixed",
        "mixture = here.of(Rows(0 * rows.host_B, 0 * rows.device_B), device).mixed",
        f"{FEED}::test_a_row_is_mixed_with_the_same_view_of_its_own_partner_in_any_batch",
    ),
    Mutant(
        "pipeline/data/feed.py",
        "images.render(fetched.cut, here, rows)",
        "images.render(fetched.cut, here, Rows(rows.host_B, rows.device_B.flip(0)))",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "crops(of_rows, shapes_2B, each.framing, each.margin)",
        "crops(of_rows, shapes_2B, self._renderings[0].framing, each.margin)",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "np.ascontiguousarray(images.sizes[:, ::-1].T)",
        "np.ascontiguousarray(images.sizes.T)",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "if row not in self._kept:",
        "if True:",
        f"{PICTURES}::test_a_picture_is_decoded_once_for_all_renderings_and_all_that_it_is_mixed_into",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "framed(height_1, width_1, self._rendering.framing, self._rendering.margin)",
        'framed(height_1, width_1, "crop", 0.0)',
        f"{PICTURES}::test_clean_images_are_view_0_as_a_network_is_shown_them",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "retouched(cut(picture, box, each.size), of_rows, at)",
        "cut(picture, box, each.size)",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant(
        "pipeline/data/pictures.py",
        "rest = erased if self._on_cpu else changed",
        "rest = changed",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant("pipeline/data/retouch.py", "int(turn * 255)", "round(turn * 255)", RETOUCH),
    Mutant("pipeline/data/retouch.py", "level / trivial.TOP, view.width)", "level / trivial.TOP, 7)", RETOUCH),
    Mutant("pipeline/data/retouch.py", "jitter.order_NK[row].tolist()", "range(4)", RETOUCH),
    Mutant(
        "pipeline/models/shown.py",
        "x_BP[:, end - channels * size**2 : end]",
        "x_BP[:, : channels * size**2]",
        f"{PICTURES}::test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all",
    ),
    Mutant(
        "pipeline/labels/labeller.py",
        "len(images), data.size, data.train.aspect_N)",
        "len(images), data.size)",
        f"{LABELS}::test_a_stored_label_is_the_answer_to_the_rendered_pixels",
    ),
    Mutant(
        "pipeline/labels/labeller.py",
        "describe(views, seed, stream, len(images), data.renderer)",
        "describe(views, seed, stream, len(images))",
        f"{LABELS}::test_labels_are_bound_to_what_decodes_and_resizes",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "return Mixed(self.labels_N[partner_N], share_N)",
        "return Mixed(self.labels_N, share_N)",
        f"{RENDERINGS}::test_a_student_learns_from_the_answer_to_its_own_mixed_crop_and_from_the_mixture",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "partner = (mixed.y_B, mixed.share_B) if mixed else (None, None)",
        "partner = (None, None)",
        f"{RENDERINGS}::test_the_loss_on_hard_labels_is_that_of_the_mixture",
    ),
    Mutant(
        "pipeline/training/balance.py",
        "    if mixed is None:\n        return F",
        "    if mixed is None or mixed:\n        return F",
        f"{RENDERINGS}::test_the_loss_on_hard_labels_is_that_of_the_mixture",
    ),
    Mutant(
        "pipeline/training/learn.py",
        "renderings = [data.rendering(input) for input in training.inputs]",
        "renderings = [data.rendering(None) for input in training.inputs]",
        f"{RENDERINGS}::test_evaluation_frames_images_for_the_network",
    ),
    Mutant(
        "pipeline/training/export.py",
        "clean(getattr(self.data, split).images, self.data.rendering(self.input))",
        "clean(getattr(self.data, split).images, self.data.rendering(None))",
        f"{RENDERINGS}::test_evaluation_frames_images_for_the_network",
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
    # Which rows are recoloured, known without asking the device; and views that other processes cut.
    Mutant("pipeline/data/rows.py", "kinds_B.argsort(stable=True)", "torch.arange(len(kinds_B))", COLOUR),
    Mutant(
        "pipeline/data/cutters.py",
        "boxes_RB4[:, at_K]",
        "boxes_RB4[:, : len(asked_K)]",
        f"{CUTTERS}::test_views_are_those_of_threads_to_the_bit",
    ),
    Mutant(
        "pipeline/data/cutters.py",
        "np.cumsum(shapes_N + 1)",
        "np.cumsum(shapes_N)",
        f"{CUTTERS}::test_views_are_those_of_threads_to_the_bit",
    ),
    Mutant(
        "pipeline/data/cutters.py",
        "self._images.verify(rows_B)",
        "self._images.places(rows_B)",
        f"{CUTTERS}::test_a_shard_is_verified_before_another_process_reads_it",
    ),
    Mutant(
        "pipeline/data/cutters.py",
        "weakref.finalize(self, _end, cutters, self._kept)",
        "weakref.ref(self)",
        f"{CUTTERS}::test_none_begins_before_it_is_needed_and_none_outlives_what_it_is_for",
    ),
    Mutant(
        "pipeline/data/cutting.py",
        "kept[start] = 1",
        "kept[start] = 0",
        f"{CUTTERS}::test_a_picture_that_is_kept_is_decoded_once",
    ),
    Mutant(
        "pipeline/data/cutting.py",
        "(signal.SIGINT, signal.SIGTERM)",
        "(signal.SIGINT,)",
        f"{CUTTERS}::test_they_end_with_whoever_began_them_and_not_by_its_signals",
    ),
    # In passes of how many images a network is evaluated.
    Mutant(
        "pipeline/models/activations.py",
        "if not func.is_view:",
        "if True:",
        "tests/models/test_activations.py",
    ),
    Mutant(
        "pipeline/base/passes.py",
        "while images > 1 and images * bytes_an_image > BYTES:",
        "if images * bytes_an_image > BYTES:",
        "tests/labels/test_labeller.py::test_a_pass_of_predictions_takes_bounded_memory",
    ),
    Mutant(
        "pipeline/models/declared.py",
        "activation_bytes(onnx.load_model_from_string(content), 1)",
        "declared_bytes(onnx.load_model_from_string(content), 256)",
        "tests/models/test_declared.py",
    ),
    Mutant(
        "pipeline/compression/runtime.py",
        "batch_size or self.images_a_pass",
        "batch_size or 256",
        "tests/models/test_declared.py",
    ),
    # The section.
    Mutant("pipeline/config/views.py", "if key in ALWAYS or value != getattr(STILL, key)", "", VIEWS),
    Mutant("pipeline/config/views.py", "{**PRESETS[word], **values}", "{**values, **PRESETS[word]}", VIEWS),
    Mutant(
        "pipeline/planning/planner.py",
        "check_mixing(section.objective, where, self.params.views.mixes)",
        "check_mixing(section.objective, where, False)",
        "tests/planning/test_build.py::test_views_that_mix_images_are_refused_where_a_term_needs_one_class",
    ),
    Mutant(
        "pipeline/planning/foreign.py",
        'for_views == "clean" and views.mixes',
        'for_views == "clean" and views.mixup',
        "tests/planning/test_foreign.py::test_views_that_would_not_belong_are_refused",
    ),
    Mutant(
        "pipeline/config/presets.py",
        "if key in EXACT else []",
        "if False else []",
        "tests/config/test_presets.py::test_a_preset_leaves_no_operation_of_other_views",
    ),
]
