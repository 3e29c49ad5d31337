"""``python -m course``: the same as ``ser-course``."""

import sys

from course.cli import main

sys.exit(main())
