"""`python -m course`: the same as `ser-course`."""

import sys

from course.cli import main

if __name__ == "__main__":  # a worker of a sweep imports this module again
    sys.exit(main())
