"""Helpers shared by the lessons: speech, models, methods, what is shown, how the course runs."""

__version__ = "0.1.0"
