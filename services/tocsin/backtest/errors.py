"""What is wrong with a history."""


class HistoryError(Exception):
    """History that cannot be read; one line with the place and the mend."""
