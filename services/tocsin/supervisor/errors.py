"""What keeps `tocsin up` from running, in one line."""


class UpError(Exception):
    """The text says what is wrong and how to mend it."""
