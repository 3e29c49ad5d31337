"""Helpers shared by the lessons: speech, models, methods on plain arrays, what is shown."""

__version__ = "0.1.0"
