"""Two classifiers on the same images: what one loses and the other wins, and what that says of other images.

Legend: lost and won are the images that only the first, or only the second, gets right; a drop is the accuracy of the
first less that of the second, as a share.
"""

import math
from dataclasses import dataclass

# A gate that lets through what drops more than is allowed in one case of twenty at most, where the bound itself is of
# 96 %: by exact enumeration over 300 to 5,000 images, drops of 0.5 to 2 points and up to 2 % won. At 95 % it is 6.5 %.
SURE = 1.7506860712521692  # deviations of a normal distribution that 96 % lie below
HALF = 1.959963984540054  # within which, to both sides, 95 % lie
STEPS = 60  # halvings: to 1e-18


@dataclass(frozen=True)
class Flips:
    """How many images are answered rightly by one of the two alone.

    Raises:
        ValueError: These cannot be counts of images.
    """

    count: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        if self.count < 1 or min(self.lost, self.won) < 0 or self.lost + self.won > self.count:
            raise ValueError(f"of {self.count} images {self.lost} are lost and {self.won} won")

    @property
    def drop(self) -> float:
        """What the second one loses: below 0 where it wins."""
        return (self.lost - self.won) / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the drop on other images of this kind: Tango's score interval (1998)."""
        return (self._bound(HALF, up=False), self._bound(HALF, up=True))

    @property
    def most(self) -> float:
        """The drop that is not exceeded on other images of this kind, with 95 % confidence: what a gate goes by."""
        return self._bound(SURE, up=True)

    @property
    def p(self) -> float:
        """McNemar's exact p, two-sided: how often two equally good networks differ by as much, or more."""
        from scipy.special import bdtr

        flipped = self.lost + self.won
        return min(1.0, 2 * float(bdtr(min(self.lost, self.won), flipped, 0.5))) if flipped else 1.0

    def needed(self, drop: float) -> int | None:
        """How many images prove that no more than `drop` is lost, where as large shares flip; None where none do."""
        z = score(self.lost / self.count, self.won / self.count, 1, drop)
        return math.ceil((SURE / z) ** 2) if z < 0 else None

    def _bound(self, z: float, *, up: bool) -> float:
        """The drop at which the score is z deviations away."""
        inside, outside = self.drop, 1.0 if up else -1.0
        if inside == outside:
            return outside
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            if abs(score(self.lost, self.won, self.count, middle)) <= z:
                inside = middle
            else:
                outside = middle
        return outside


def score(lost: float, won: float, count: float, drop: float) -> float:
    """How many deviations what was seen lies above `drop`, -1 < drop < 1, if that were true (Tango 1998, equation 4).

    The share that is won is then the likeliest one under that drop, the root of a quadratic.
    """
    b = (2 * count - lost + won) * drop - lost - won
    won_share = (math.sqrt(max(b * b + 8 * count * won * drop * (1 - drop), 0.0)) - b) / (4 * count)
    variance = count * (2 * won_share + drop * (1 - drop))
    # Without any, nothing flips and none should: it is as expected.
    return (lost - won - count * drop) / math.sqrt(variance) if variance > 0 else 0.0
