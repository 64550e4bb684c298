"""Numbers as a person reads them."""

import pytest

from pipeline.report import words


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (999.6, "B", "1 kB"),
        (1234, "B", "1.23 kB"),
        (12_345_678, "FLOP", "12.3 MFLOP"),
        (0.0001, "s", "100 µs"),
        (0.0123, "s", "12.3 ms"),
        (438, "", "438"),
        (2e18, "B", "2e+03 PB"),
    ],
)
def test_quantities_have_three_digits_and_a_prefix(value: float, unit: str, text: str) -> None:
    assert words.quantity(value, unit) == text


def test_points_always_have_a_sign() -> None:
    assert [words.points(x) for x in (0.0583, 0.0, -0.0, -0.134)] == ["+5.8", "+0.0", "+0.0", "\N{MINUS SIGN}13.4"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.42, "0.4 s"), (41.4, "41 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(value: float, text: str) -> None:
    assert words.seconds(value) == text


def test_counts_and_lists() -> None:
    assert words.counted(1, "class") == "1 class"
    assert words.counted(2, "class") == "2 classes"
    assert words.counted(1200, "image") == "1,200 images"
    assert words.counted(3, "story") == "3 stories"
    assert [words.listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert (words.amount(75_002), words.amount(11_200_000)) == ("75,002", "11.2 M")


@pytest.mark.parametrize("length", [5, 8, 24])
def test_long_names_lose_their_middle(length: int) -> None:
    name = "n02085620-Chihuahua-of-a-very-long-name"
    short = words.shortened(name, length)
    assert len(short) == length
    assert (short[0], short[-1]) == (name[0], name[-1])
    assert words.shortened(name[:length], length) == name[:length]


def test_shortened_names_stay_apart() -> None:
    long = [f"a very long name of a class of birds, number {n} of all that there are" for n in range(12)]
    ends = ["prefix that is long enough " * 2 + end for end in ("ab", "ac", "")]
    names = ["cat", *long, *ends, "x" * 60, "x" * 61]
    found = words.apart(names, 22)
    assert len({*found}) == len(names)
    assert all(len(each) <= 22 for each in found)
    assert found[0] == "cat"
    assert words.apart(["a" * 30, "b" * 30], 9) == ["aaaa…aaaa", "bbbb…bbbb"]
    assert "number 3" in found[4] or "3" in found[4]
