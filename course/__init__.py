"""What runs the lessons: command line, papermill, report, student edition, predict, download."""
