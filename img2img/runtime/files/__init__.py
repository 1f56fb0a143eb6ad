"""Which files a batch reads and writes: paths and URIs. Looks at names, not at pictures, and imports no numpy."""
