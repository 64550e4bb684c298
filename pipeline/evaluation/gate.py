"""Whether it is proven that a network loses no more than it may, in a sentence."""

from pipeline.evaluation.flips import Flips


class NotProven(Exception):
    """It may lose more than it may; the sentence says what would prove it."""


def verdict(flips: Flips, name: str, most: float) -> str:
    """Say that no more than `most` is lost on other images, a share above 0 and below 1.

    name: of the network that may lose.

    Raises:
        NotProven: That does not follow from these images.
    """
    bound = f"{100 * flips.most:.2f} points of accuracy on other images of this kind (95 % confidence)"
    if flips.most <= most:
        unequal = flips.p <= 0.05 and flips.drop > 0
        doubt = f"; it is worse all the same (McNemar's exact p {flips.p:.2g})" if unequal else ""
        return f"{name} loses at most {bound}, and {100 * most:g} are allowed{doubt}"
    needed = flips.needed(most)
    way = (
        f"with the same share of flips {needed:,} images would prove it, and there are {flips.count:,}"
        if needed
        else f"it loses {100 * flips.drop:.2f} on these, so that more images of this kind will hardly help"
    )
    raise NotProven(f"{name} may lose up to {bound}, and {100 * most:g} are allowed: {way}")
