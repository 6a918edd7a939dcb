"""Measures how well searches find what was judged relevant."""
