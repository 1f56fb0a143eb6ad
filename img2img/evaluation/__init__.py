"""How good a result is: metrics as the papers compute them, comparisons, reports. torch is needed for styles only."""
