"""Download the one corpus whose licence and address allow it: RAVDESS, from Zenodo."""

import os
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from helpers import corpora
from helpers.errors import CourseError

CHUNK = 1 << 16  # bytes
LARGEST = 8 << 30  # bytes an archive may unpack to: more than any corpus here, less than a disk


class Archive(NamedTuple):
    """A zip file on the web: address, md5 (as its publisher prints it), size in bytes."""

    url: str
    md5: str
    size: int


ARCHIVES = {
    "ravdess": Archive(
        "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
        "bc696df654c87fed845eb13823edef8a",
        208_468_073,
    )
}


def download(name: str, progress: bool = True) -> Path:
    """Fetch, check and unpack a corpus; return its folder (at once when it is there already).

    What was fetched before a break is kept and continued. Errors: CourseError when the corpus
    has no downloader, when the network or the disk fails, or when the file is not the right one.
    """
    target = corpora.folder(name)
    if target.is_dir():
        return target
    if name not in ARCHIVES:
        about = corpora.CORPORA[name]
        why = f"'{name}' cannot be downloaded from here (licence: {about.licence})"
        raise CourseError(f"{why}: {about.source}; {about.get} into {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unpack(fetch(ARCHIVES[name], target.parent, progress), target)
    except OSError as error:
        raise CourseError(f"{target}: {error.strerror or error}") from None
    return target


def fetch(archive: Archive, folder: Path, progress: bool = True) -> Path:
    """Bring an archive into `folder` through pooch, which checks its md5; return its path."""
    import pooch

    name = archive.url.rsplit("/", 1)[-1]
    part = folder / f"{name}.part"

    def get(url: str, out: str, _pooch: object) -> None:
        _continue(url, part, archive.size, progress)
        shutil.move(part, out)

    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(archive.url, f"md5:{archive.md5}", name, folder, downloader=get))
    except ValueError:  # pooch: the hash differs; it removes the file
        again = "run the command again, and if it fails again the file at that address has changed"
        raise CourseError(f"{archive.url}: wrong checksum, the file was removed; {again}") from None


def _continue(url: str, part: Path, size: int, progress: bool) -> None:
    """Append to `part` what is still missing of `url`; start over where ranges are refused."""
    from tqdm.auto import tqdm

    have = part.stat().st_size if part.exists() else 0
    have = have if have <= size else 0
    if have < size:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                have = have if answer.status == 206 else 0
                bar = tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=part.stem,
                           disable=not progress)  # fmt: skip
                with bar, part.open("ab" if have else "wb") as out:
                    while chunk := answer.read(CHUNK):
                        out.write(chunk)
                        bar.update(len(chunk))
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            again = "run the command again when the network is back, or fetch the file by hand"
            remedy = f"{again} and unpack it into the corpus' folder"
            raise CourseError(f"{url}: cannot be reached ({reason}); {remedy}") from None
    if (have := part.stat().st_size) < size:
        remedy = "run the command again, it goes on from there"
        raise CourseError(f"{url}: cut off at {have:,} of {size:,} bytes; {remedy}")


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip file into a new folder; on failure the folder does not exist.

    Refuses the whole archive when a member is absolute, climbs with `..`, is a link or device,
    or when all of it unpacks to more than 8 GiB. The archive is removed after success.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            reasons = [f"member '{m.filename}' {why}" for m in members if (why := _unsafe(m))]
            if sum(member.file_size for member in members) > LARGEST:
                reasons.append(f"unpacks to more than {LARGEST >> 30} GiB")
            if reasons:
                raise CourseError(f"{archive}: {reasons[0]}; not unpacked")
            zipped.extractall(scratch)
        os.replace(scratch, target)
    except (zipfile.BadZipFile, EOFError) as error:
        remedy = "delete it and run again"
        raise CourseError(f"{archive}: damaged archive ({error}); {remedy}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    archive.unlink()


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Say why a member must not be unpacked, or return an empty string."""
    path, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
    if path.is_absolute() or windows.drive or windows.root:
        return "is an absolute path"
    if ".." in windows.parts:  # splits at both kinds of slash
        return "climbs out of the folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return ""
