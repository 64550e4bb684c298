"""The one exception that a person reads."""


class UserError(Exception):
    """One sentence: what is wrong, where (file and key), what would be right.

    The command line prints it and exits with 1; a traceback is shown for anything else,
    because anything else is a defect of ours.
    """
