"""A page to speak into, on this machine alone: one static file and a small JSON interface.

Why not Gradio: it wants an older pillow than the lock has, its pages fetch a script and fonts from
elsewhere unless told not to, and it brings some forty packages for what one file does here.
"""

import json
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from course.memory import named
from course.predict import FLAGGED, Ears
from helpers import audio, emotions, pad
from helpers.errors import CourseError
from helpers.listener import Listener

PAGE = Path(__file__).with_name("listen.html")
HOST = "127.0.0.1"  # loopback, whatever happens
LARGEST = 32 << 20  # bytes of a recording: five minutes
SUPPORT = 3  # clips of a cluster before it is named by PAD, as in lesson 10: one clip's is a guess
HEADERS = {  # no other site may be asked for anything, or show this page within its own
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "
    "script-src 'unsafe-inline' blob:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}


class Room:
    """What the page may ask of one listener, one request at a time; answers are JSON.

    Each act takes the body of a request and its parameters, "" where one is not given.
    """

    def __init__(self, ears: Ears):
        self.ears, self.listener, self.change = ears, ears.listener, ears.memory.change
        self.lock, self.last = Lock(), None  # the clip that was heard last, and in which voice
        acts = self.state, self.hear, self.enrol, self.learn, self.undo, self.forget
        self.acts = {act.__name__: act for act in acts}

    def state(self, raw=b"", asked=None) -> dict:
        """What it knows, whom, and where that lies."""
        listener = self.listener
        enrolled = [n.voice for n in listener.notes if n.kind == "voice"]
        return {
            "emotions": listener.names_,
            "taught": sorted({n.emotion for n in listener.notes if n.emotion}),
            "voices": {voice: enrolled.count(voice) for voice in listener.voices_},
            "unnamed": int(listener.sizes_.sum()),
            "threshold": 1 - FLAGGED,
            "support": SUPPORT,
            "colours": emotions.COLOURS,
            "pad": emotions.PAD,
            "folder": str(self.ears.memory.folder),
            "head": self.ears.about,
        }

    def hear(self, raw, asked) -> dict:
        """What is heard in a clip; one that is unknown is kept until it is named or forgotten."""
        voice, (wave, X) = asked["voice"], self._embedding(raw)
        (said,) = self.ears.hear(X, voice)
        if said["decision"] == "unknown":
            self.change(lambda listener: listener.reject(X, voice))
            said["cluster"] = int(self.listener.hear(X, voice).cluster[0])
        if said["cluster"] is not None:
            size = int(self.listener.sizes_[said["cluster"]])
            said["cluster"] = {"size": size, "name": self._name(said["cluster"])}
        self.last = X, voice
        peaks = [float(np.abs(part).max()) for part in np.array_split(wave, 240)]
        return said | {"peaks": peaks, "seconds": len(wave) / audio.SAMPLE_RATE}

    def enrol(self, raw, asked) -> dict:
        """One more clip of a voice."""
        voice, (_, X) = named(asked["voice"]), self._embedding(raw)
        self.change(lambda listener: listener.enrol(X, voice))
        return self.state()

    def learn(self, raw, asked) -> dict:
        """The clip that was heard last is of this emotion."""
        emotion = named(asked["emotion"], emotion=True)
        if self.last is None:
            raise CourseError("no clip to teach from; record one first")
        X, voice = self.last
        self.change(lambda listener: listener.learn(X, emotion, voice))
        return self.state()

    def undo(self, raw, asked) -> dict:
        """Take back what was enrolled or taught last."""
        self.change(Listener.undo)
        return self.state()

    def forget(self, raw, asked) -> dict:
        """Delete a voice or an emotion; all, when none is named."""
        self.change(lambda listener: listener.forget(asked["name"]))
        self.last = None
        return self.state()

    def _name(self, cluster):
        """The nearest new emotion to the mean PAD point of a cluster; None below `SUPPORT`."""
        unnamed = [n for n in self.listener.notes if n.kind == "rejected" and not n.emotion]
        each = [self.listener.hear(n.x[None], n.voice) for n in unnamed]
        points = [heard.pad[0] for heard in each if heard.cluster[0] == cluster]
        new = {n: v for n, v in emotions.PAD.items() if n not in self.listener.names_}
        enough = points and self.listener.sizes_[cluster] >= SUPPORT
        return str(pad.name_points([np.mean(points, axis=0)], new)[0, 0]) if enough else None

    def _embedding(self, raw):
        self.ears.memory.refresh()
        wave, step = audio.read("this clip", raw), int(audio.WINDOW_S * audio.SAMPLE_RATE)
        whole = range(0, len(wave) - int(audio.SHORTEST_S * audio.SAMPLE_RATE) + 1, step)
        return wave, self.ears.embed([[wave[i : i + step] for i in whole]])


class Handler(BaseHTTPRequestHandler):
    """Answers this page, opened on this machine, and nobody else."""

    timeout = 60  # seconds without a byte

    def do_GET(self):
        if self.path != "/" or not self._from_here():
            return self._refuse(404 if self._from_here() else 403)
        self._send(200, PAGE.read_bytes(), "text/html; charset=utf-8")

    def do_POST(self):
        asked, length = urlsplit(self.path), self.headers.get("Content-Length", "")
        act = self.server.room.acts.get(asked.path[1:])
        if not act or not self._from_here(post=True):
            self._refuse(404 if self._from_here(post=True) else 403)
        elif not length.isdecimal() or int(length) > LARGEST:
            self._refuse(413, f"a recording has at most {LARGEST >> 20} MiB; cut it")
        else:
            given = defaultdict(str, parse_qsl(asked.query))
            self._answer(act, self.rfile.read(int(length)), given)

    def _from_here(self, post=False) -> bool:
        """Whether the request names this address: another's name may lead here (DNS rebinding).

        A form or script of another site names its own origin.
        """
        here = [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        return host in here and (not post or origin == f"http://{host}")

    def _answer(self, act, *given):
        try:
            with self.server.room.lock:
                self._send(200, json.dumps(act(*given)).encode())
        except CourseError as error:
            self._refuse(400, str(error))

    def _refuse(self, status, why="not found, or not asked from the page itself"):
        self._send(status, json.dumps({"error": why}).encode())

    def _send(self, status, body, kind="application/json"):
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": len(body)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing of what people ask."""


def server(ears: Ears) -> ThreadingHTTPServer:
    """A server on 127.0.0.1, at a port that is free."""
    made = ThreadingHTTPServer((HOST, 0), Handler)
    made.room = Room(ears)
    return made


def serve() -> int:
    """Answer until somebody interrupts."""
    ears = Ears()
    ears.embed([[np.zeros(audio.SAMPLE_RATE, np.float32)]])  # loads the encoder
    with server(ears) as made, suppress(KeyboardInterrupt):
        print(f"Open http://{HOST}:{made.server_port} in a browser here; Ctrl-C ends.", flush=True)
        made.serve_forever()
    return 0
