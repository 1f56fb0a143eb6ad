"""Model files: reads their cards, checks them, and runs them on pictures of any size."""
