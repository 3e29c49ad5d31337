"""The command line `ser-course`, also `python -m course`.

Examples:
  ser-course run                            every lesson on the embedded corpus, a few minutes
  ser-course run 03 04 --corpus emodb       two lessons on EMO-DB
  ser-course run --corpus ravdess emodb --seed 0 1 2 --profile full      a sweep, one report
  ser-course run --seed 0 1 2 3 --workers 2 two runs at a time
  ser-course run --corpus folder:recordings your own: class folders, or a CSV
  ser-course predict clip.wav               what the course hears in a file
  ser-course predict me/*.wav --voice anna  enrol a voice (several moods); then predict with it
  ser-course listen                         the same as a page with a microphone, on this machine

Corpora lie in data/corpora, or in the folder that SER_CORPORA names.
Exit status: 0 all went well, 1 something failed (one line says what), 2 the command makes no sense.
"""

import argparse
import re
import sys
import warnings
from pathlib import Path

from course.settings import Setting, UsageError, default_out, sweep
from helpers import __version__, corpora
from helpers.errors import CourseError, nearest, printable
from helpers.profiles import PROFILES

PERSONAL = """Embeddings of voices and lessons are personal data (SER_LISTENER, data/listener): the
page of listen forgets. Percentages are off for new voices; "unknown" may be upside down or too
frequent: docs/figures.md. Not for diagnosis, surveillance, hiring, work, schools (EU AI Act)."""

OPTIONS = ("--corpus", "--encoder", "--seed", "--profile", "--out", "--workers", "--scheduler")
OPTIONS += ("--json", "--learn", "--voice", "--handout", "--help", "--no-report")


class _Parser(argparse.ArgumentParser):
    """argparse, which also names the nearest command or option."""

    def error(self, message):
        wrong = re.search(r"(?:invalid choice: '?|unrecognized arguments: )([^' ]+)", message)
        known = [*COMMANDS, *PROFILES, *OPTIONS]  # an option of another command has no hint
        hint = nearest(wrong[1], known) if wrong and wrong[1] not in known else ""
        self.exit(2, f"{self.prog}: {message}{hint}\n(see {self.prog} --help)\n")


def _corpora(args) -> int:
    print(f"{'name':12} {'here':5} {'licence':18} where from")
    for name, about in corpora.CORPORA.items():
        here = "yes" if corpora.available(name) else "no"
        print(f"{name:12} {here:5} {about.licence:18} {about.title}: {about.source}")
    print("folder:PATH  your own recordings: class folders, or a CSV (path, emotion, speaker)")
    return 0


def _download(args) -> int:
    from course.download import download
    from course.settings import check_corpus

    check_corpus(args.name)
    print(f"{args.name} is in {download(args.name)}")
    return 0


def _run(args) -> int:
    settings = sweep(args.corpus, args.encoder, args.seed, args.profile)
    out = args.out or default_out(settings)
    for name in (*args.corpus, *args.encoder, str(out)):
        if name.encode(errors="ignore").decode() != name:
            raise UsageError(f"'{name}': no UTF-8; rename that folder")
    names = ", ".join(s.name for s in settings)
    print(f"{names}, profile {args.profile}: starting", flush=True)
    from course import folders, report, runner, students, workers

    if (args.workers or args.scheduler) and len(settings) > 1:
        failed = workers.run(args.notebooks, settings, out, args.workers, args.scheduler)
        if not folders.runs(out):
            raise CourseError("; ".join(failed))
    else:  # one run is one process
        failed = runner.run(args.notebooks, settings, out)
    told = [] if args.no_report else [f"Report: {report.build(out)}"]
    print(*told, *students.progress(out), sep="\n")
    for line in failed:
        print(f"ser-course: {line}", file=sys.stderr)
    if failed:
        print(f"ser-course: failed lessons as far as they came: {out}/**/failed", file=sys.stderr)
    return 1 if failed else 0


def _report(args) -> int:
    from course import report

    print(f"Report: {report.build(args.dir, args.handout)}")
    return 0


def _site(args) -> int:
    from course import site

    print(f"Site: {site.build(args.dir)}")
    return 0


def _compare(args) -> int:
    from course import compare

    return compare.show(args.a, args.b, args.out)


def _students(args) -> int:
    from course import students

    print(f"{len(students.write(args.dir))} lessons for students in {args.dir}")
    if not (args.dir / "runs" / "course" / "artefacts").exists():
        _warn("no networks in runs/course, so students must train; else 'ser-course run' first")
    return 0


def _predict(args) -> int:
    from course import predict

    return predict.show(args.files, args.json, args.learn, args.voice)


def _listen(args) -> int:
    from course import listen

    return listen.serve()


COMMANDS = {
    "corpora": (_corpora, "list corpora, and which are here"),
    "download": (_download, "download a corpus whose licence and address allow it"),
    "run": (_run, "run lessons; several corpora, encoders or seeds make a sweep; a rerun resumes"),
    "report": (_report, "write the report of a run or a sweep again"),
    "site": (_site, "write a static site over a run into DIR/site: report, documentation, search"),
    "compare": (_compare, "differences of two runs, with intervals; paired on the same clips"),
    "students": (_students, "write the student edition: exercises without solutions"),
    "predict": (_predict, "what is heard in audio files, how surely, and how unknown it is"),
    "listen": (_listen, "a page with a microphone, on this machine alone"),
}


def _whole(least: int):
    """What reads a whole number from `least` up."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {least} up")
        return int(text)

    return read


def parser() -> argparse.ArgumentParser:
    """The whole manual."""
    raw = argparse.RawDescriptionHelpFormatter
    about, _, examples = (__doc__ or "").partition("\n\n")
    top = _Parser("ser-course", description=about, epilog=examples, formatter_class=raw)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    top.each = each = {
        name: commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        for name, (_, text) in COMMANDS.items()
    }
    each["download"].add_argument("name", metavar="NAME", help="see ser-course corpora")
    run = each["run"]
    run.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="03 or 03_calibration; all")
    default = Setting()
    option = {"nargs": "+", "metavar": "C", "default": [default.corpus]}
    run.add_argument("--corpus", **option, help="name, a+b, folder:PATH (default: %(default)s)")
    option |= {"metavar": "E", "default": [default.encoder]}
    run.add_argument("--encoder", **option, help="name, folder or hub id (default: %(default)s)")
    option |= {"metavar": "S", "default": [default.seed]}
    run.add_argument("--seed", **option, type=_whole(0), help="0 or more (default: %(default)s)")
    run.add_argument(
        "--profile", choices=PROFILES, default=default.profile,
        help="quick: minutes on two cores; full: every turn; paper: the source's own settings",
    )  # fmt: skip
    run.add_argument("--out", type=Path, metavar="DIR", help="default: runs/course, or by its name")
    many = run.add_mutually_exclusive_group()
    many.add_argument("--workers", type=_whole(1), metavar="N", help="a sweep on N processes here")
    text = "a sweep on a Dask scheduler's workers"
    many.add_argument("--scheduler", metavar="ADDRESS", help=text)
    run.add_argument("--no-report", action="store_true", help="ser-course report writes it later")
    each["report"].add_argument("dir", type=Path, metavar="DIR", help="folder of a run or a sweep")
    text = "into DIR/handout, without solutions and notes for the instructor"
    each["report"].add_argument("--handout", action="store_true", help=text)
    each["site"].add_argument("dir", type=Path, metavar="DIR", help="folder of a run or a sweep")
    for name in ("a", "b"):
        text = "folder of a run, sweep over seeds alone, or results file"
        each["compare"].add_argument(name, type=Path, metavar=name.upper(), help=text)
    each["compare"].add_argument("--out", type=Path, metavar="DIR", help="also as CSV and LaTeX")
    each["students"].add_argument("dir", type=Path, metavar="DIR", help="a new folder")
    text = "or a folder of them; of more than 30 s an answer for each 10 s, every 5 s, too"
    each["predict"].add_argument("files", nargs="+", metavar="FILE", help=text)
    each["predict"].add_argument("--json", action="store_true", help="to standard output")
    text = "hear the files as this voice; a new one they enrol (ten, of several moods), unscored"
    each["predict"].add_argument("--voice", metavar="NAME", help=text)
    each["predict"].add_argument("--learn", metavar="NAME", help="then teach this emotion by them")
    each["predict"].epilog = each["listen"].epilog = PERSONAL
    return top


def _warn(message, *_) -> None:
    """Show a warning as one line, as all that the command says."""
    print(f"ser-course: {printable(str(message))}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit status. A traceback from here is a bug."""
    top = parser()
    args, rest = top.parse_known_args(argv)
    # argparse takes lessons and files that follow an option for strangers
    several = {"run": "notebooks", "predict": "files"}.get(args.command)
    strange = [word for word in rest if word.startswith("-")]
    if several and not strange:
        vars(args)[several] += rest
    elif rest:
        top.each[args.command].error(f"unrecognized arguments: {' '.join(strange or rest)}")
    if hasattr(sys.stdout, "reconfigure"):  # a name that a console cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return COMMANDS[args.command][0](args)
    except CourseError as error:
        print(f"ser-course: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        _warn(f"{error.filename or 'reading or writing'}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        resumes = args.command in ("run", "download")
        again = "; the same command goes on where it stopped" if resumes else ""
        print(f"\nser-course: interrupted{again}", file=sys.stderr)
        return 130
