"""HTML pages that work offline: one file each, with the scripts and styles of `assets/` inside."""
