"""Measures the Python package beside its peers: make bench-python, or python -m bench."""
