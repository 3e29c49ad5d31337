"""The page to speak into: who may ask what, and what a browser does with it."""

import base64
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from awkward import WEBM, sound
from test_memory import D, a_listener

from course import listen
from course.memory import Memory
from helpers import corpora
from helpers.listener import Channel

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Ears:
    """A pretended encoder of six numbers: how loud, and how often zero is crossed."""

    def __init__(self):
        self.listener = a_listener()
        self.about = {"corpus": "embedded", "licence": "CC0", "worth": "W"}
        self.memory = Memory(self.listener, "key")
        self.channel = Channel(np.zeros((1, D)), np.eye(D), np.full(9, 1e9))

    def embed(self, clips):
        loud = [np.std(np.concatenate(clip)) for clip in clips]
        return np.array([[20 * x, 1, 2 * x, 0, x, -1] for x in loud], np.float32)

    def hear(self, X, voice=""):
        from course.predict import Ears as real

        return real.hear(self, X, voice)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """`page(act, body, headers=…, **parameters)`: status and answer of a server in a thread."""
    monkeypatch.setenv("SER_LISTENER", str(tmp_path / "mine"))
    with listen.server(Ears()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"

        def ask(act, body=b"", method="POST", headers=(), query=""):
            wire = http.client.HTTPConnection(host, timeout=20)
            sent = {"Host": host, "Origin": f"http://{host}"} | dict(headers)
            wire.request(method, f"/{act}{query}", body, {k: v for k, v in sent.items() if v})
            answer = wire.getresponse()
            text = answer.read()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text.decode()

        ask.server, ask.host = server, host
        yield ask
        server.shutdown()


def test_the_loop_as_the_page_asks_for_it(page):
    status, heard = page("hear", sound(seconds=0.5))
    assert status == 200 and set(heard) >= {
        "emotion",
        "probabilities",
        "unknown",
        "decision",
        "pad",
        "unlike",
    }
    assert sum(heard["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert len(heard["peaks"]) == 240 and heard["seconds"] == 0.5
    assert page("enrol", sound(1), query="?voice=Anna")[1]["voices"] == {"Anna": 1}
    assert page("hear", sound(2), query="?voice=Anna")[1]["voice"] == "Anna"
    status, state = page("learn", query="?emotion=fear")
    assert state["emotions"] == ["neutral", "happy", "sad", "fearful"]
    assert state["taught"] == ["fearful"] and str(page.server.room.ears.memory.folder) in str(state)
    assert "fearful" in page("hear", sound(3))[1]["probabilities"]
    assert page("undo")[1]["emotions"] == ["neutral", "happy", "sad"]
    assert page("forget", query="?name=Anna")[1]["voices"] == {}
    assert page("forget")[1]["unnamed"] == 0 == len(page.server.room.listener.notes)


def test_an_unknown_clip_is_kept_and_its_cluster_is_named(page):
    room = page.server.room
    room.listener.views = [v._replace(quantiles=np.full(9, -1e9)) for v in room.listener.views]
    for i in range(3):
        status, heard = page("hear", sound(i))
        assert heard["decision"] == "unknown" and heard["cluster"]["size"] == i + 1
        assert (heard["cluster"]["name"] is None) == (i + 1 < page("state")[1]["support"])
    assert heard["cluster"]["name"] not in room.listener.classes
    assert page("state")[1]["unnamed"] == 3
    assert page("learn", query="?emotion=calm")[1]["unnamed"] == 0
    assert sum(n.emotion == "calm" for n in room.listener.notes) == 3
    assert page("undo")[1]["unnamed"] == 3


def test_what_another_process_taught_is_heard(page):
    Memory(a_listener(), "key").change(lambda listener: listener.learn(np.ones((1, 6)), "calm"))
    assert "calm" in page("hear", sound())[1]["probabilities"]
    page("learn", query="?emotion=bored")
    assert Memory(a_listener(), "key").listener.names_[3:] == ["calm", "bored"]


@pytest.mark.parametrize(
    ("act", "body", "query", "said"),
    [
        ("hear", b"", "", "empty file"),
        ("hear", b"RIFF no", "", "this clip: "),
        ("hear", WEBM, "", "WebM"),
        ("hear", sound(seconds=0.05), "", "shorter than 0.1 s"),
        ("hear", sound(seconds=1)[:-9000], "", "this clip: "),
        ("hear", sound(), "?voice=Ben", "voice 'Ben' is not enrolled"),
        ("enrol", sound(), "?voice=", "a name has 1 to 40 letters"),
        ("enrol", b"", "?voice=me", "empty file"),
        ("learn", b"", "?emotion=calm", "no clip to teach from; record one first"),
        ("undo", b"", "", "nothing to undo"),
        ("forget", b"", "?name=Ben", "'Ben' was never enrolled or taught"),
    ],
)
def test_wrong_input_is_one_clear_line(page, act, body, query, said):
    status, answer = page(act, body, query=query)
    assert status == 400 and said in answer["error"] and "\n" not in answer["error"]
    assert page.server.room.listener.notes == []


def test_a_giant_is_refused_before_it_is_read(page):
    size = {"Content-Length": str(listen.LARGEST + 1)}
    assert page("hear", b"", headers=size)[0] == 413
    assert page("hear", b"", headers={"Content-Length": "-1"})[0] == 413
    assert page("hear", b"", headers={"Content-Length": "x"})[0] == 413


@pytest.mark.parametrize("act", ["hear", "state", "forget"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding: another's name leads here
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},  # another site's form or script
        {"Origin": "null"},
        {"Origin": "", "Referer": "http://evil.example/"},
    ],
)
def test_nobody_but_the_page_is_answered(page, act, headers):
    assert page(act, sound(), headers=headers)[0] == 403
    if "Host" in headers:
        assert page("", b"", "GET", headers)[0] == 403


def test_there_is_nothing_but_the_page(page):
    status, text = page("", method="GET", headers={"Origin": ""})
    assert status == 200 and text == listen.PAGE.read_text(encoding="utf-8")
    for path in ("state", "../listen.py", "etc/passwd", "favicon.ico"):
        assert page(path, method="GET")[0] == 404
    assert page("serve")[0] == page("__init__")[0] == 404


def test_it_listens_on_loopback_alone(page):
    assert page.server.server_address[0] == "127.0.0.1"
    assert page.server.socket.getsockname()[0] == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return  # this machine has no other address
        own = probe.getsockname()[0]
    if not own.startswith("127."):
        with pytest.raises(OSError):
            socket.create_connection((own, page.server.server_port), timeout=5)


def test_the_page_names_no_other_place_and_says_what_it_is_not_for(page):
    text = listen.PAGE.read_text(encoding="utf-8")
    places = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\"' ]*", text))
    assert places == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(
        r"<link(?! rel=\"icon\" href=\"data:)|@import|url\(|<script src|<img", text
    )
    first = text[text.index("<body>") : text.index("<main>")]
    for word in ("diagnosis", "surveillance", "hired", "At work and in schools the EU AI Act"):
        assert word in first


# --- in a browser -------------------------------------------------------------------------------


class Browser:
    """Headless Chromium with a file as its microphone, spoken to over its debugging port."""

    def __init__(self, folder: Path, microphone: Path, width=1280, dark=False):
        flags = """--headless=new --no-sandbox --disable-gpu --no-first-run --disable-sync
        --disable-background-networking --disable-component-update --use-fake-ui-for-media-stream
        --use-fake-device-for-media-stream --remote-debugging-port=0 --hide-scrollbars
        --autoplay-policy=no-user-gesture-required""".split()
        flags += [f"--use-file-for-fake-audio-capture={microphone}", f"--user-data-dir={folder}"]
        self.process = subprocess.Popen(
            [CHROMIUM, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = folder / "DevToolsActivePort"
        wait(lambda: port.exists() and port.read_text().count("\n"))
        wire = http.client.HTTPConnection("127.0.0.1", int(port.read_text().split()[0]))
        wire.request("PUT", "/json/new?about:blank")
        from websocket import create_connection

        about = json.loads(wire.getresponse().read())
        self.wire = create_connection(
            about["webSocketDebuggerUrl"], timeout=60, suppress_origin=True
        )
        self.number, self.requests = 0, []
        self("Network.enable")
        self("Page.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def read(self, page):
        """Open the page and wait until it knows what the listener knows."""
        self("Page.navigate", url=f"http://{page.host}/")
        self.until("typeof state == 'object' && state !== null")

    def __call__(self, method, **given):
        self.number += 1
        self.wire.send(json.dumps({"id": self.number, "method": method, "params": given}))
        while True:
            said = json.loads(self.wire.recv())
            if said.get("method") == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]

    def js(self, code):
        given = {"expression": code, "awaitPromise": True, "returnByValue": True}
        return self("Runtime.evaluate", **given)["result"].get("value")

    def until(self, code):
        wait(lambda: self.js(code))

    def picture(self, path):
        shot = self("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.wire.close()
        self.process.terminate()
        self.process.wait(20)


def wait(ready, seconds=90):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


@pytest.fixture
def browser(tmp_path):
    pytest.importorskip("websocket")
    path = corpora.frame("embedded").query("emotion == 'sad'").path.iloc[0]
    wave, rate = soundfile.read(path)
    soundfile.write(tmp_path / "microphone.wav", np.tile(wave, 4), rate, subtype="PCM_16")
    opened = []

    def start(**options):
        opened.append(Browser(tmp_path / f"p{len(opened)}", tmp_path / "microphone.wav", **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome here")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_speaks_enrols_teaches_and_asks_nobody_else(page, browser, width):
    """SER_PICTURES names a folder for screenshots."""
    seen = browser(width=width, dark=width == 390)
    seen.read(page)
    assert "EU AI Act" in seen.js("document.querySelector('.not').innerText")
    seen.js("document.getElementById('record').click()")
    seen.until("tape !== null && !$('record').disabled")
    time.sleep(1.2)
    seen.js("document.getElementById('record').click()")
    seen.until("heard !== null && !document.getElementById('teach').hidden")
    assert seen.js("heard.seconds") > 0.8 and max(seen.js("heard.peaks")) > 0.01
    mark = "document.querySelector('#unknown b')"
    at = seen.js(f"{mark}.offsetLeft / {mark}.parentElement.clientWidth")
    assert at == pytest.approx(0.9, abs=0.02)  # the threshold stands where it is
    said = seen.js("document.getElementById('about').textContent")
    assert "meant for one in 10 clips" in said and said.endswith("W")  # what it is worth
    assert seen.js("document.getElementById('unlike').hidden")
    seen.js("heard.unlike = 0.99; showHeard()")
    assert not seen.js("document.getElementById('unlike').hidden")
    seen.js("heard.voice = 'Anna'; showHeard()")
    assert seen.js("document.getElementById('unlike').hidden")
    # Two sentences of a voice, then a lesson in it, and all of it taken back.
    seen.js("$('name').value = 'Anna'; $('enrol').click()")
    for count in (1, 2):
        seen.js("$('say').click()")
        seen.until("tape !== null && !$('say').disabled")
        time.sleep(0.5)
        seen.js("$('say').click()")
        seen.until(f"state.voices.Anna === {count}")
    seen.js("$('stop').click(); $('emotion').value = 'fear'; $('teach').requestSubmit()")
    seen.until("state.taught.includes('fearful')")
    if "SER_PICTURES" in os.environ:
        seen.picture(Path(os.environ["SER_PICTURES"]) / f"listen-{width}.png")
    assert seen.js("document.documentElement.scrollWidth <= window.innerWidth")
    seen.js("$('undo').click()")
    seen.until("!state.taught.length")
    seen.js("window.confirm = () => true; $('all').click()")
    seen.until("!Object.keys(state.voices).length")
    hosts = {
        urlsplit(url).netloc for url in seen.requests if not url.startswith(("data:", "blob:"))
    }
    assert hosts == {page.host}
    # What the page may not do fails at once: it is the policy that holds, not good will.
    assert seen.js("fetch('http://192.0.2.1/').then(() => 'sent', () => 'refused')") == "refused"
    assert not any("192.0.2.1" in url for url in seen.requests)


SLOW_MICROPHONE = """
var opened = [], live = () => opened.filter(track => track.readyState == "live").length;
const ask_ = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async given => {
  const taken = await ask_(given);
  await new Promise(done => setTimeout(done, 500));
  opened.push(...taken.getTracks());
  return taken;
};
var idle = name => tape === null && $(name).textContent == "● Record" && !$(name).disabled;
"""


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome here")
def test_one_microphone_is_open_at_a_time_and_none_after(page, browser):
    seen = browser()
    seen.read(page)
    seen.js(SLOW_MICROPHONE)
    # Presses before the microphone answers open no second one.
    seen.js("$('record').click(); $('record').click(); $('say').click()")
    assert "another recording is running" in seen.js("$('said').textContent")
    seen.until("opened.length && !$('record').disabled")
    time.sleep(0.7)
    assert seen.js("opened.length") == seen.js("live()") == 1
    # Nor do presses before the answer begin anything, which would cover what they say.
    embed, ears = page.server.room.ears.embed, page.server.room.ears
    ears.embed = lambda clips: time.sleep(1) or embed(clips)
    seen.js("$('record').click()")
    seen.js("$('record').click(); $('say').click(); $('enrol').click(); $('stop').click()")
    assert seen.js("tape === null && heard === null && $('said').textContent") == "Listening."
    seen.until("idle('record')")
    assert seen.js("[...document.querySelectorAll('button, input')].every(e => !e.disabled "
                   "|| ['all', 'undo'].includes(e.id))")  # fmt: skip
    assert seen.js("live()") == 0 and seen.js("heard !== null")
    assert seen.js("$('said').textContent").startswith("Heard ")
    # "Stop here" while a sentence is recorded, or before the microphone answers, gives it up.
    for count, wait_for in ((2, "live() && !$('say').disabled"), (3, "tape !== null")):
        seen.js("$('name').value = 'Anna'; $('enrol').click(); $('say').click()")
        seen.until(wait_for)
        seen.js("$('stop').click()")
        seen.until(f"opened.length == {count} && !live()")
        assert seen.js("idle('say')") and seen.js("$('steps').hidden")
    assert page("state")[1]["voices"] == {}  # what was given up is thrown away
    seen.js("$('record').click()")
    seen.until("live() == 1 && !$('record').disabled")
    seen.js("$('record').click()")
    seen.until("idle('record') && !live()")
    # Without a microphone it says so, and can be asked again.
    seen.js("navigator.mediaDevices.getUserMedia = async () => { throw new Error('denied'); }")
    seen.js("$('record').click()")
    seen.until("$('said').textContent == 'no microphone: denied'")
    assert seen.js("idle('record')")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome here")
def test_the_page_names_a_cluster_from_its_support_on(page, browser):
    seen = browser()
    seen.read(page)

    def said(size, name, kept):
        given = json.dumps({"size": size, "name": name})
        return seen.js(f"alike({given}, {str(kept).lower()})")

    assert said(1, None, True).startswith("It sounds like no other unnamed clip. From 3 clips on")
    assert said(1, None, False).startswith("It sounds like one unnamed clip.")
    assert "2 sound alike, this one among them" in said(2, None, True)
    assert "3 unnamed clips" in said(3, "calm", False)
    assert said(3, "calm", True).endswith("Nearest name by PAD: calm.")


def test_a_recording_of_the_page_is_a_wav_that_the_course_reads():
    """The header that the page writes, byte by byte, as soundfile writes it."""
    out = io.BytesIO()
    soundfile.write(out, np.zeros(100), 48_000, format="WAV", subtype="PCM_16")
    header = out.getvalue()[:44]
    text = listen.PAGE.read_text(encoding="utf-8")
    fields = json.loads(
        re.search(r"\[\[16, 16, 4\].*?\]\]", text)[0]
        .replace("2 * rate", "96000").replace("rate", "48000").replace("2 * count", "200")
    )  # fmt: skip
    made = bytearray(header)
    for at, value, size in fields:
        made[at : at + size] = int(value).to_bytes(size, "little")
    assert bytes(made) == header
