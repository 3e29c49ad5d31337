"""``python -m helpers``: an old name of ``python -m course``."""

import runpy

runpy.run_module("course", run_name="__main__")
