"""The one exception that people see: its text says what is wrong, where, and what to do."""


class AwmError(Exception):
    """A user's mistake or a bad file. Commands print its text as one line and exit with 2."""
