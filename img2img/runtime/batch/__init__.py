"""Many pictures: decoded, run and encoded at once, resumed, shared out, and reported on."""
