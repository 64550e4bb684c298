"""Faults of the store of encoded images: what is kept, linked, checked and thrown away."""

from tests.mutants.mutant import Mutant

WRITING = "tests/data/test_writing.py"
SHARDS = "tests/data/test_shards.py"
ENCODING = "tests/data/test_encoding.py"
ENCODED = "tests/data/test_encoded.py"
GC = "tests/commands/test_gc.py"
LINKS = "tests/dvc/test_links.py"

MUTANTS = [
    # A bucket is said to look at fewer bits than it does.
    Mutant(
        "pipeline/data/shards.py",
        "bits if number >= half or number + half < shards else bits - 1",
        "bits",
        f"{SHARDS}::test_a_bucket_is_what_its_bits_say",
    ),
    Mutant(
        "pipeline/data/shards.py",
        "number - size // 2",
        "number % shards",
        f"{SHARDS}::test_one_more_image_changes_one_shard_and_one_more_shard_halves_one_other",
    ),
    Mutant(
        "pipeline/data/shards.py",
        "or not member.isreg()",
        "",
        f"{SHARDS}::test_a_link_in_a_shard_is_none_of_ours",
    ),
    Mutant(
        "pipeline/data/shards.py",
        "if len(padded) < member.size:",
        "if not padded:",
        f"{SHARDS}::test_a_shard_that_is_cut_off_in_an_image_says_so",
    ),
    Mutant("pipeline/data/encoding.py", "short <= store_size and len", "short < store_size and len", ENCODING),
    Mutant("pipeline/data/encoding.py", "    picture.info = {}", "    pass", ENCODING),
    Mutant("pipeline/data/encoding.py", "    picture.load()", "    pass", ENCODING),
    Mutant("pipeline/data/encoding.py", "width, height = height, width", "pass", ENCODING),
    # Shards are not compared with what the header records, or each time again.
    Mutant("pipeline/data/encoded.py", "self._checked.add(shard)", "pass", ENCODED),
    Mutant(
        "pipeline/data/encoded.py", "self._recorded is None or shard", "self._recorded is not None or shard", ENCODED
    ),
    # A damaged kept shard goes into the store.
    Mutant(
        "pipeline/data/kept_images.py",
        "if shard.sha256 == kept.sha256:",
        "if shard:",
        f"{WRITING}::test_a_damaged_shard_is_named_and_encoded_again",
    ),
    # What is kept by other code, for another size, or of another Pillow is used.
    Mutant(
        "pipeline/data/writing.py",
        '"decoders": versions, "code": keeping.code,',
        '"decoders": versions,',
        f"{WRITING}::test_other_settings_keep_apart",
    ),
    Mutant(
        "pipeline/data/writing.py",
        ', "background": data.background}',
        "}",
        f"{WRITING}::test_other_settings_keep_apart",
    ),
    Mutant(
        "pipeline/data/writing.py",
        "have = self._kept.images(bucket, {*row_of})",
        "have: dict[str, Stored] = {}",
        f"{WRITING}::test_one_more_photograph_is_one_encoding_and_one_shard",
    ),
    Mutant(
        "pipeline/data/kept_images.py",
        "each.bucket.overlaps(bucket)",
        "each.bucket == bucket",
        f"{WRITING}::test_more_shards_are_made_of_what_is_kept",
    ),
    # A shard without an image that could not be decoded is taken for the whole one.
    Mutant(
        "pipeline/data/writing.py",
        "        if self._unreadable:\n            raise Undecodable",
        "        if False:\n            raise Undecodable",
        f"{WRITING}::test_all_files_that_cannot_be_decoded_are_told_and_the_rest_is_kept",
    ),
    # The size that images are decoded to is not bound to labels.
    Mutant(
        "pipeline/data/prepare.py",
        '"decoded to": written.shapes["train"][1:], ',
        "",
        f"{WRITING}::test_labels_are_bound_to_what_decodes_even_where_nothing_else_tells_it",
    ),
    # Neither is what shows through, nor is it what they are decoded on.
    Mutant(
        "pipeline/data/prepare.py",
        ', "background": data.background}',
        "}",
        f"{WRITING}::test_labels_are_bound_to_what_decodes_even_where_nothing_else_tells_it",
    ),
    Mutant(
        "pipeline/data/prepared.py",
        "channels, size, background=header.background)",
        "channels, size)",
        f"{WRITING}::test_what_is_transparent_shows_the_background_of_the_header",
    ),
    # What is found to be unreadable as it is written is forgotten.
    Mutant(
        "pipeline/data/prepare.py",
        "examined.faults.update(error.found)",
        "raise",
        f"{WRITING}::test_what_is_unreadable_when_it_is_written_is_as_what_was_so_before",
    ),
    Mutant("pipeline/data/writing.py", "            shutil.rmtree(out / SHARDS)\n", "", WRITING),
    Mutant(
        "pipeline/commands/gc.py",
        "unfinished or path.name not in (used or ())",
        "unfinished",
        f"{GC}::test_what_was_found_of_the_present_images_stays",
    ),
    Mutant(
        "pipeline/data/kept_looks.py",
        "fcntl.flock(file, fcntl.LOCK_SH)",
        "pass",
        f"{GC}::test_what_was_found_of_the_present_images_stays",
    ),
    Mutant(
        "pipeline/data/kept_images.py",
        "and stat.S_ISREG(path.lstat().st_mode)",
        "",
        f"{GC}::test_what_is_not_ours_among_encoded_images_stays_whole_and_is_named",
    ),
    Mutant(
        "pipeline/commands/gc.py",
        "if used is None and not unfinished:",
        "if False:",
        f"{GC}::test_encoded_images_that_the_present_store_uses_stay",
    ),
    Mutant(
        "pipeline/commands/gc.py",
        "[] if kept.is_symlink() or not kept.is_dir()",
        "[] if not kept.is_dir()",
        f"{GC}::test_a_folder_of_encoded_images_that_is_a_link_is_not_entered",
    ),
    Mutant("pipeline/dvc/links.py", "size < LARGE or", "", LINKS),
    Mutant("pipeline/dvc/links.py", "cache.link_types() & LINKS or", "", LINKS),
]
