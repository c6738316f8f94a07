"""What a board remembers: tables, files, and the short transactions that touch them."""
