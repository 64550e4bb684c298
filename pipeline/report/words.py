"""Numbers and names as a person reads them."""

from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
PREFIXES = ("n", "µ", "m", "", "k", "M", "G", "T", "P")
WHOLE = PREFIXES.index("")


def percent(share: float, digits: int = 1) -> str:
    """A share in per cent, without the sign: 0.8831 is 88.3."""
    return f"{100 * share:.{digits}f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, always with its sign: +5.8."""
    text = f"{100 * difference:+.1f}"
    return f"{MINUS}{text[1:]}" if text[0] == "-" and text != "-0.0" else text.replace("-", "+")


def quantity(value: float, unit: str = "") -> str:
    """Three significant digits at most, with a decimal prefix: 1234 bytes is 1.23 kB, 0.0001 s is 100 µs."""
    step = WHOLE
    while abs(value) >= 999.5 and step < len(PREFIXES) - 1:
        value, step = value / 1000, step + 1
    while 0 < abs(value) < 0.9995 and step > 0:
        value, step = value * 1000, step - 1
    return f"{value:.3g} {PREFIXES[step]}{unit}".rstrip()


def amount(number: int) -> str:
    """A count: all its digits below a million."""
    return f"{number:,}" if number < 1_000_000 else quantity(number)


def seconds(value: float) -> str:
    """A duration: 0.4 s, 41 s, 3 min 20 s, 2 h 5 min."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def times(height: int, width: int) -> str:
    """A size in pixels or positions: 8 by 8, with the sign that is made for it."""
    return f"{height}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{width}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 network, 3 networks, 1,200 images."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('ss') else 's'}"
    return f"{number:,} {noun if number == 1 else plural}"


def listed(names: list[str]) -> str:
    """Names in a sentence: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def shortened(name: str, length: int = 24) -> str:
    """A name that fits a label; its middle goes where it is too long."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def apart(names: Sequence[str], length: int = 24) -> list[str]:
    """All of them shortened, and still told apart: of those that would look alike, where they differ is kept."""
    found = [shortened(name, length) for name in names]
    alike: dict[str, list[int]] = {}
    for at, short in enumerate(found):
        alike.setdefault(short, []).append(at)
    for rows in alike.values():
        if len(rows) > 1:
            letters = enumerate(zip(*(names[at] for at in rows), strict=False))
            begins = next((place for place, each in letters if len({*each}) > 1), min(len(names[at]) for at in rows))
            for place, at in enumerate(rows, start=1):
                # Numbered, as where they differ may not fit either.
                tail = f"…{names[at][begins:]}"
                found[at] = f"{shortened(tail, length - len(f' {place}'))} {place}"
    return found
