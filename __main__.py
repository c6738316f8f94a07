"""``python -m tasteshift`` is the command ``tasteshift``."""

from .cli import main

if __name__ == "__main__":
    main()
