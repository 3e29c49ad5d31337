"""papermill, told to report every cell and to prove that the parameters arrived in the kernel."""

import json
import logging
from pathlib import Path

import nbformat
import papermill
import zmq
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

from helpers import corpora
from helpers.errors import CourseError

logging.getLogger("papermill").setLevel(logging.ERROR)


QUESTION = """\
import json as _json, psutil as _psutil
_me = _psutil.Process()
_times = [each.cpu_times() for each in [_me, *_me.children(recursive=True)]]
_used = sum(t.user + t.system + t.children_user + t.children_system for t in _times)
print(_json.dumps([{}, round(_used, 1)]))"""


class CourseEngine(NBClientEngine):
    """papermill's own engine, with one more cell: the parameters now, and the CPU time used.

    papermill injects values below the tagged cell; a lesson that sets them again would run on
    something else than was asked for, and say nothing. Cells tagged `joined` are left out where
    the corpus is not joined of several. What a cell tagged `raises-exception` (an exercise of the
    student edition, or its check) raises is kept as one line, and no failure.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, expected, progress, **options):
        encryption = "auto" if zmq.has("curve") else "disabled"
        config = Config({"KernelManager": {"transport_encryption": encryption}})
        # jupyter_client ends a kernel with an interrupt first, which ipykernel may log as an error
        # after the last cell. Errors of cells come through the notebook. All is written by then;
        # a kernel that is given time to close its sockets may abort there, in libzmq.
        how = {"shutdown_kernel": "immediate", "extra_arguments": ["--IPKernelApp.log_level=50"]}
        client = PapermillNotebookClient(nb_man, kernel_name=kernel_name, config=config, **how)
        if len(corpora.parts(expected["corpus"])) == 1:
            cells = [c for c in nb_man.nb.cells if "joined" not in c.metadata.get("tags", [])]
            progress(len(nb_man.nb.cells) - len(cells))
            nb_man.nb.cells[:] = cells
        question = QUESTION.format(", ".join(expected))
        cell = nbformat.v4.new_code_cell(question, metadata={"papermill": {}})
        nb_man.nb.cells.append(cell)
        complete = nb_man.cell_complete

        def cell_complete(cell, cell_index=None, **rest):
            complete(cell, cell_index=cell_index, **rest)
            progress(1)

        nb_man.cell_complete = cell_complete
        try:
            client.execute()
        except DeadKernelError:
            # nbclient answers Ctrl-C by ending the kernel; that is no failure of the lesson.
            if hasattr(client, "_async_cleanup_kernel_future"):
                raise KeyboardInterrupt from None
            raise
        finally:
            nb_man.nb.cells.remove(cell)
        for open_ in nb_man.nb.cells:  # to papermill any error is a failure, whatever the tags say
            for error in (o for o in open_.get("outputs", []) if o.output_type == "error"):
                if "raises-exception" in open_.metadata.get("tags", []):
                    said = f"{error.ename}: {error.evalue}\n"
                    open_.outputs = [nbformat.v4.new_output("stream", name="stderr", text=said)]
                    open_.metadata["unsolved"] = True
        if cell.outputs and cell.outputs[0].output_type == "stream":
            *values, nb_man.nb.metadata["cpu_seconds"] = json.loads(cell.outputs[0].text)
            arrived = dict(zip(expected, values, strict=True))
            for name, value in expected.items():
                if arrived[name] != value:
                    said = f"parameter '{name}' was {value!r} and ends as {arrived[name]!r}"
                    raise CourseError(f"{said}: the lesson sets it again; remove that line")


papermill_engines.register("course", CourseEngine)


def execute(source: Path, target: Path, parameters: dict, progress) -> float:
    """Run `source` with `parameters`, write it to `target`; return the CPU-seconds it took.

    The seconds are those of the kernel and its children. `progress(1)` is called per cell.

    Raises papermill's `PapermillExecutionError` (it names the cell), nbclient's
    `DeadKernelError`, and CourseError when a parameter did not arrive.
    """
    how = {"engine_name": "course", "kernel_name": "python3", "language": "python"}
    how |= {"cwd": source.parent, "progress_bar": False}
    how |= {"expected": parameters, "progress": progress}  # of the engine
    nb = papermill.execute_notebook(source, target, parameters, **how)
    return nb.metadata.pop("cpu_seconds")
