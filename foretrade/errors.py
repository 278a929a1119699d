"""The root of the errors that tell a user what to do; the command line prints them as one line."""


class ForetradeError(Exception):
    """Something the user can mend; the message names the place and the remedy."""
