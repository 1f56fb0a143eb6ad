"""Reports about runs: one HTML page that works offline. Reads run folders without torch."""
