"""`python -m bench.audit`: signatures checked a second, memory and the rate of a rebuild, from logs made for it."""
