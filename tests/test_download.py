"""The downloader against a server of our own: resumes, checks, refuses."""

import hashlib
import http.server
import stat
import threading
import zipfile

import pytest

from course import download
from course.download import Archive
from helpers import corpora
from helpers.errors import CourseError


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; may ignore ranges, or hang up after so many bytes."""

    content, ranges, hang_up = b"", True, None
    requests: list[str | None] = []

    def do_GET(self):
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.hang_up])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CORPORA", str(tmp_path / "corpora"))
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as zipped:
        for actor in range(1, 4):
            name = f"Actor_{actor:02d}/03-01-01-01-01-01-{actor:02d}.wav"
            zipped.writestr(name, bytes(range(256)) * 400)

    class Fresh(Server):
        content, requests = packed.read_bytes(), []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/speech.zip"
        md5 = hashlib.md5(Fresh.content).hexdigest()
        monkeypatch.setitem(download.ARCHIVES, "ravdess", Archive(url, md5, len(Fresh.content)))
        yield Fresh
        running.shutdown()


def left():
    return sorted(path.name for path in corpora.root().iterdir())


def test_download_unpacks_and_removes_the_archive(server, capsys):
    folder = download.download("ravdess")
    assert folder == corpora.root() / "ravdess"
    assert len(corpora.frame("ravdess")) == 3
    assert left() == ["ravdess"]
    assert "100%" in capsys.readouterr().err  # a progress bar
    assert download.download("ravdess") == folder
    assert len(server.requests) == 1


def test_cut_off_download_goes_on_where_it_stopped(server):
    server.hang_up = 70_000
    with pytest.raises(CourseError, match="cut off at 70,000 of .* goes on from there"):
        download.download("ravdess", progress=False)
    assert left() == ["speech.zip.part"]
    server.hang_up = None
    download.download("ravdess", progress=False)
    assert server.requests == [None, "bytes=70000-"]
    assert left() == ["ravdess"]


def test_server_without_ranges_is_read_from_the_start(server):
    server.hang_up, server.ranges = 70_000, False
    with pytest.raises(CourseError, match="cut off"):
        download.download("ravdess", progress=False)
    server.hang_up = None
    download.download("ravdess", progress=False)
    assert left() == ["ravdess"]


def test_wrong_checksum_leaves_nothing(server):
    server.content = server.content[:-1] + b"!"
    with pytest.raises(CourseError, match="wrong checksum, the file was removed"):
        download.download("ravdess", progress=False)
    assert left() == []


def test_offline(server, monkeypatch):
    archive = download.ARCHIVES["ravdess"]
    offline = archive._replace(url="http://127.0.0.1:9/speech.zip")  # port 9: discard, not served
    monkeypatch.setitem(download.ARCHIVES, "ravdess", offline)
    with pytest.raises(CourseError, match="cannot be reached .*fetch the file by hand"):
        download.download("ravdess", progress=False)


def test_corpora_under_registration_have_no_downloader(server):
    with pytest.raises(CourseError, match="'iemocap' cannot be downloaded.*sail.usc.edu"):
        download.download("iemocap")
    with pytest.raises(CourseError, match="did you mean 'ravdess'"):
        download.download("ravdes")


def member(name, mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../out.wav"), "climbs out"),
        (member("a/../../out.wav"), "climbs out"),
        (member("..\\out.wav"), "climbs out"),
        (member("/etc/out.wav"), "absolute"),
        (member("C:\\out.wav"), "absolute"),
        (member("link.wav", stat.S_IFLNK | 0o777), "link or a device"),
        (member("pipe.wav", stat.S_IFIFO | 0o644), "link or a device"),
        (member("disk.wav", stat.S_IFBLK | 0o644), "link or a device"),
    ],
)
def test_unsafe_members_are_refused_before_anything_is_written(tmp_path, bad, reason):
    archive = tmp_path / "in" / "bad.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("good.wav", "x")
        zipped.writestr(bad, "/etc/passwd")
    with pytest.raises(CourseError, match=reason):
        download.unpack(archive, tmp_path / "in" / "corpus")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "bad.zip"]


def test_damaged_and_oversized_archives(tmp_path, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(CourseError, match="damaged archive"):
        download.unpack(archive, tmp_path / "corpus")
    monkeypatch.setattr(download, "LARGEST", 10)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a.wav", "x" * 11)
    with pytest.raises(CourseError, match="unpacks to more"):
        download.unpack(archive, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_the_published_archive():
    archive = download.ARCHIVES["ravdess"]
    assert (archive.md5, archive.size) == ("bc696df654c87fed845eb13823edef8a", 208_468_073)
