import runpy

runpy.run_module("course", run_name="__main__")  # an old name of the same command
