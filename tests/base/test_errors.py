"""Errors in a few words."""

from pipeline.base.errors import innermost


def test_the_error_that_led_to_others_in_one_line_without_colours() -> None:
    try:
        try:
            raise ValueError("only \x1b[96m4D\x1b[0m\n  queries")
        except ValueError as error:
            raise RuntimeError("pages of advice") from error
    except RuntimeError as error:
        assert innermost(error) == "ValueError: only 4D queries"
    assert innermost(KeyError()) == "KeyError"
    assert len(innermost(ValueError("x" * 1000))) == 300
