"""A board over HTTP: what is answered to whom, and the processes that verify behind it."""
