"""Exceptions that the command line reports in one line."""


class InputError(ValueError):
    """Invalid input of the caller: an argument, a file, a name.

    The message is one line that names the thing and says what to do about it;
    the command line prints it without a traceback and exits with status 2.
    """


class AgentError(RuntimeError):
    """The agent under test failed during a run.

    The message is one line that names the failure; the run on disk can be
    resumed once the agent is fixed, and the command line exits with status 1.
    """
