"""How good a result is: metrics as the papers compute them, comparisons, reports. Needs no torch."""
