"""Small faults of how a photograph becomes pixels: its format, scale, turn, colours, frame and background."""

from tests.mutants.mutant import Mutant

AHEAD = "tests/data/test_ahead.py"
CARD = "tests/compression/test_model_card.py"
COLOURS = "tests/data/test_colours.py"
DECODE = "tests/data/test_decode.py"
FRAMING = "tests/data/test_framing.py"
ODD = "tests/data/test_odd_files.py"
PREDICT = "tests/commands/test_predict.py"

MUTANTS = [
    Mutant("pipeline/data/formats.py", "range(16, end, 4)", "range(16, len(head), 4)", DECODE),
    Mutant("pipeline/data/formats.py", "(8, *range(16, end, 4))", "(8,)", DECODE),
    Mutant("pipeline/data/decode.py", "(shortest, shortest)", "(shortest // 2, shortest // 2)", DECODE),
    Mutant("pipeline/data/decode.py", "GAP * size", "size", DECODE),
    Mutant("pipeline/data/decode.py", "shortest is not None and ", "shortest and False and ", DECODE),
    Mutant("pipeline/data/decode.py", 'REDUCED = ("JPEG", "MPO")', 'REDUCED = ("JPEG",)', DECODE),
    Mutant("pipeline/data/decode.py", "ImageOps.exif_transpose(picture, in_place=True)", "picture.getexif()", COLOURS),
    Mutant(
        "pipeline/data/decode.py",
        "    except Exception:  # a tag that cannot be read turns nothing, and the pixels are whole",
        "    except OSError:",
        COLOURS,
    ),
    Mutant("pipeline/data/decode.py", "    if QUIET not in warnings.filters:", "    if False:", ODD),
    Mutant("pipeline/data/decode.py", 'getattr(error, "strerror", None) or str(error)', "str(error)", DECODE),
    Mutant("pipeline/data/decode.py", "AvifImagePlugin.DEFAULT_MAX_THREADS = 1", "AvifImagePlugin.SUPPORTED", DECODE),
    Mutant("pipeline/data/framing.py", "(height - down) // 2", "(height - down + 1) // 2", FRAMING),
    Mutant("pipeline/data/framing.py", "left, top, left + across, top + down", "0, 0, across, down", FRAMING),
    Mutant("pipeline/data/framing.py", "round(edge * (1 - margin))", "round(edge - margin)", FRAMING),
    Mutant("pipeline/data/framing.py", '(min if framing == "crop" else max)', "min", FRAMING),
    Mutant("pipeline/data/decode.py", '(None, resize) if framing == "pad" else (resize, None)', "(resize, None)", CARD),
    Mutant("pipeline/commands/predict.py", 'card.framing or "crop"', '"crop"', CARD),
    Mutant("pipeline/commands/predict.py", "card.margin or 0.0", "0.0", CARD),
    Mutant(
        "pipeline/compression/model_card.py", 'if framing == "pad" else (code, "")', 'if False else (code, "")', CARD
    ),
    Mutant(
        "pipeline/compression/work.py",
        "rendering = data.rendering(node.input) if node.input else None",
        "rendering = node.input",
        "tests/training/test_renderings.py::test_what_ships_frames_files_as_its_network_was_shown_images",
    ),
    Mutant(
        "pipeline/data/framing.py",
        "(size, size), Image.Resampling.BILINEAR",
        "(size, size), Image.Resampling.BOX",
        FRAMING,
    ),
    Mutant(
        "pipeline/data/framing.py",
        "picture.crop(box(*picture.size, framing, margin)).resize((size, size), Image.Resampling.BILINEAR)",
        "picture.resize((size, size), Image.Resampling.BILINEAR, [max(0, n - 0.5) for n in box(*picture.size)])",
        FRAMING,
    ),
    Mutant("pipeline/data/colours.py", "if lightest < 2**bits", "if lightest <= 2**bits", COLOURS),
    Mutant("pipeline/data/colours.py", "DEPTHS = (8, 10, 12, 14, 16, 32)", "DEPTHS = (16, 32)", COLOURS),
    Mutant("pipeline/data/colours.py", "np.rint(values.clip(0, None)", "np.rint(values", COLOURS),
    Mutant("pipeline/data/colours.py", "max(1.0, float(values.max()))", "float(values.max())", COLOURS),
    Mutant("pipeline/data/colours.py", "SAME = 1 ", "SAME = -1 ", COLOURS),
    Mutant("pipeline/data/colours.py", "SAME = 1 ", "SAME = 99 ", COLOURS),
    Mutant("pipeline/data/colours.py", "@lru_cache(maxsize=PROFILES)", "@lru_cache(maxsize=0)", COLOURS),
    Mutant("pipeline/data/colours.py", "picture.size, background), alpha)", "picture.size, WHITE), alpha)", COLOURS),
    Mutant(
        "pipeline/data/colours.py",
        "    except (ImageCms.PyCMSError, OSError, ValueError):",
        "    except KeyError:",
        COLOURS,
    ),
    Mutant("pipeline/data/ahead.py", "if len(begun) >= AHEAD * threads:", "if False:", AHEAD),
    Mutant(
        "pipeline/data/ahead.py",
        "yield begun.popleft().result()\n            while",
        "yield begun.pop().result()\n            while",
        AHEAD,
    ),
    Mutant("pipeline/commands/predict.py", "card.background or BLACK", "BLACK", PREDICT),
    Mutant("pipeline/commands/predict.py", "runtime.passes_at_once(size, cores())", "1", PREDICT),
    Mutant("pipeline/compression/runtime.py", "memory.free() // 2 // max", "memory.free() // max", PREDICT),
    Mutant(
        "pipeline/compression/model_card.py",
        "    image.draft(None, ({enough}, {enough}))",
        "    image.load()",
        "tests/compression/test_model_card.py",
    ),
    Mutant(
        "pipeline/config/colour.py",
        "Level = Annotated[int, Field(strict=True, ge=0, le=255)]",
        "Level = Annotated[int, Field(strict=True, ge=0)]",
        "tests/compression/test_export_onnx.py",
    ),
]
