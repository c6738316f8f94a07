"""The one exception that a person caused and a person can mend."""


class InputError(ValueError):
    """What was typed or supplied cannot be used.

    The message is one line that names the thing and says what to do about it;
    the command line prints it without a traceback and exits with status 2.
    """


class AgentError(RuntimeError):
    """The agent under test failed in the middle of a life.

    The message is one line that names the life and the failure; the run on disk can be
    resumed once the agent is mended, and the command line exits with status 1.
    """
