"""`python -m helpers`: an old name of `python -m course`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("course", run_name="__main__")
