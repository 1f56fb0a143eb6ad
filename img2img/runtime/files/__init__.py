"""Names only: which files are meant, and where results go. Nothing is read or written, and no numpy is imported."""
