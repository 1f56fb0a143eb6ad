"""How good a result is: metrics as the papers compute them, comparisons, reports. Only what learns or compares styles needs torch."""
