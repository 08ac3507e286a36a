"""Benchmarks. Only ratios measured side by side in one run mean anything; absolute times drift with the machine."""
