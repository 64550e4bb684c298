"""How many images go through a network at once, where nobody but the network and its input may decide it.

The size of a pass decides the last bits of its logits: it must not follow from what is free at the moment.
"""

MOST = 256  # images
BYTES = 512 << 20  # what a pass takes at most, where one image does not take more


def images_a_pass(bytes_an_image: int) -> int:
    """256, halved until a pass takes no more than `BYTES`."""
    images = MOST
    while images > 1 and images * bytes_an_image > BYTES:
        images //= 2
    return images
