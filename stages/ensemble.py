"""x"""


def ensemble() -> None:
    """x"""
