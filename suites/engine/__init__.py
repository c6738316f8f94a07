"""How lives are lived: one of them, several together, here, in other processes, on a cluster."""
