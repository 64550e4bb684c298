"""The temperature that makes a network's probabilities mean what they say (Guo et al. 2017).

Legend: N images, C classes; a is 1 / T.
"""

from torch import Tensor

COLDEST, HOTTEST = 1e-3, 1e3
STEPS = 60  # halvings of the logarithm of a: to 1e-17


def fit(logits_NC: Tensor, y_N: Tensor) -> float:
    """The T for which softmax(logits / T) has the least negative log-likelihood of the labels, as if there were one
    image more whose class is any.

    That image keeps T above 0 where all are right, as Platt (1999) does with two classes; beside many images it moves
    nothing. Between `COLDEST` and `HOTTEST`, which is where it ends if the logits say nothing of the class.
    """
    z_NC = logits_NC.double()
    wanted_N, mean_N = z_NC.gather(1, y_N[:, None]).squeeze(1), z_NC.mean(1)

    def slope(a: float) -> float:
        """Of the negative log-likelihood over a: it rises with a, so that there is one least value."""
        expected_N = ((a * z_NC).softmax(1) * z_NC).sum(1)
        return float((expected_N - wanted_N).sum() + (expected_N - mean_N).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return 1 / (low * high) ** 0.5


def surest(logits_NC: Tensor, temperature: float) -> Tensor:
    """The largest probability of each image at a temperature, float64 (N,)."""
    return (logits_NC.double() / temperature).softmax(1).amax(1)
