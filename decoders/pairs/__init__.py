"""Model pairs: those that come with the package, those of others, and enlarged ones."""
