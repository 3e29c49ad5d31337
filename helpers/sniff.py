"""What a file really is, by its bytes, whatever its name says; and whether it is whole."""

import re
from collections.abc import Iterator

MEND = "ffmpeg -i x -ar 16000 y.wav"
SECOND = f"holds a second recording after the first; cut it in two, or take both: {MEND}"
HOLE = "a piece of its middle is missing; copy it again"
CUT = f"cut off, its end is missing; copy it again, or take what is there: {MEND}"
LONGER = "holds more than its header counts; ffmpeg -ignore_length 1 -i x -ar 16000 y.wav"
VARIABLE = f"an MP3 of varying bit rate that does not say how long it is; {MEND}"

FETCH, OTHER = "its content was not fetched", "sound of a kind that is not read here"

START = (  # of a file that libsndfile reads; long enough to be found anywhere
    rb"(RIFF|RF64|RIFX)....WAVE|riff\x2e\x91\xcf\x11|fLaC[\0\x80]\0\0\x22|OggS\0\x02|caff\0\x01\0\0"
    rb"|FORM....(AIF|8SVX)|\.snd\0\0..\0\0|NIST_1A\n|Creative Voice File"
)
MPEG = rb"ID3|\xff[\xe2\xe3\xf2-\xf7\xfa-\xfd]"
TAGS = rb"TAG|APETAGEX|ID3|LYRICSBEGIN"  # behind the sound of an MP3
KINDS = {  # how the file begins: what it is, and what to do
    rb"version https://(git-lfs|hawser)": f"a Git LFS pointer, {FETCH}; git lfs pull",
    rb"\S*/annex/objects": f"a git-annex pointer, {FETCH}; git annex get",
    rb"\s*(\xef\xbb\xbf)?<[!?\w]|\xff\xfe<\0": "a web page, not sound; download it again",
    rb"\x00\x05\x16[\x00\x07]": "what a Mac keeps beside a file, not sound; delete it",
    rb"\x1aE\xdf\xa3": f"WebM or Matroska; {MEND}",
    rb"....(ftyp|moov|mdat|wide|free|skip)": f"MP4 or M4A; {MEND}",
    rb"\xff[\xf0\xf1\xf8\xf9]|ADIF": f"AAC; {MEND}",
    rb"#!AMR|0&\xb2u|MAC |wvpk|TTA1|\.RMF|\.ra\xfd|\x0bw": f"{OTHER}; {MEND}",
    rb"RIFF....AVI |FLV\x01|\0\0\x01\xba": f"a video; {MEND}",
    rb"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save it as CSV UTF-8",
    rb"\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ": "an archive; unpack it",
    rb"\0+$": "nothing but zeros; copy it again",
}

# ISO/IEC 11172-3 and 13818-3, layer III, by the version bits of a frame's header.
KBPS = {3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)}
KBPS[0] = KBPS[2] = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
LENGTH_TAG = re.compile(rb"(?:Xing|Info)\0\0\0[\1\3\5\7\x09\x0b\x0d\x0f](....)", re.S)
UNKNOWN_SIZE = 0x7FFF_0000  # bytes; from here on sizes are what a pipe writes that knows none


def what(raw: bytes) -> str:
    """Say what a file that is no readable sound is, and what to do; "" when it cannot be told."""
    return next((kind for start, kind in KINDS.items() if re.match(start, raw[:512], re.S)), "")


def is_sound(raw: bytes) -> bool:
    """Say whether a file begins as sound or video does, of a kind that is read here or not."""
    return bool(re.match(START + b"|" + MPEG, raw, re.S)) or what(raw).endswith(MEND)


def flaw(raw: bytes) -> str:
    """Say why these bytes are not one whole recording, as far as their container shows; or ""."""
    raw = _behind_tags(raw)
    if raw[:4] == b"OggS":
        return _ogg_flaw(raw)
    if raw[:2] >= b"\xff\xe0":
        return _mp3_flaw(raw)
    if re.compile(START, re.S).search(raw, 12):
        return SECOND
    start, size = _wav_data(raw)
    rest = raw[start + size + size % 2 :].rstrip(b"\0") if 0 < size < UNKNOWN_SIZE else b""
    return LONGER if len(rest) > 4096 and not re.match(rb"[\w ]{4}|ID3|TAG|APE", rest) else ""


def finished(raw: bytes) -> bytes:
    """Return a WAV whose recorder crashed before it wrote the sizes with its size; else `raw`.

    And an MP3 without its tags, of which its decoder would complain on stderr.
    """
    sound = _behind_tags(raw)
    if frames := list(_mp3_frames(sound)):
        return sound[: sum(frames[-1][:2])]
    start, size = _wav_data(raw)
    if size or not start or int.from_bytes(raw[4:8], "little") + 8 > start:
        return raw
    return raw[: start - 4] + (len(raw) - start).to_bytes(4, "little") + raw[start:]


def _behind_tags(raw: bytes) -> bytes:
    while raw[:3] == b"ID3":  # sizes of tags have seven bits a byte
        raw = raw[10 + sum(b << s for b, s in zip(raw[6:10], (21, 14, 7, 0), strict=False)) :]
    return raw


def _wav_data(raw: bytes) -> tuple[int, int]:
    """Where the samples of a WAV start and how many bytes its header counts; (0, 0) if nowhere."""
    at = 12 if raw[:4] == b"RIFF" else len(raw)
    while at + 8 <= len(raw) and raw[at]:
        size = int.from_bytes(raw[at + 4 : at + 8], "little")
        if raw[at : at + 4] == b"data":
            return at + 8, size
        at += 8 + size + size % 2
    return 0, 0


def _ogg_flaw(raw: bytes) -> str:
    """RFC 3533: bit 1 of a page's type begins a stream, bit 2 ends it."""
    pages = [m.start() for m in re.finditer(rb"OggS\0", raw)] or [0]
    types = [int.from_bytes(raw[at + 5 : at + 6], "big") for at in pages]
    first = next((i for i, kind in enumerate(types) if not kind & 2), 0)
    if any(kind & 2 for kind in types[first:]):
        return SECOND
    last: dict[bytes, int] = {}  # page numbers, by stream
    for at in pages:
        number = int.from_bytes(raw[at + 18 : at + 22], "little")
        if number != last.get(raw[at + 14 : at + 18], number - 1) + 1:
            return HOLE
        last[raw[at + 14 : at + 18]] = number
    head = raw[pages[-1] :][:27]
    sizes = raw[pages[-1] + 27 :][: head[-1]]
    whole = len(head) == 27 and len(raw) >= pages[-1] + 27 + len(sizes) + sum(sizes)
    return "" if whole and types[-1] & 4 else CUT


def _mp3_flaw(raw: bytes) -> str:
    frames = list(_mp3_frames(raw))
    if not frames:
        return ""
    if len(LENGTH_TAG.findall(raw)) > 1:
        return SECOND
    if tag := LENGTH_TAG.search(raw[: frames[0][1]]):
        missing = int.from_bytes(tag[1], "big") - (len(frames) - 1)  # the tag's own frame is silent
        return "" if abs(missing) <= 2 else CUT if missing > 0 else SECOND
    end = sum(frames[-1][:2])
    if end > len(raw) or (len(raw) > end + 1024 and not re.match(TAGS, raw[end:])):
        return CUT
    return VARIABLE if len({kbps for _, _, kbps in frames}) > 1 else ""


def _mp3_frames(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (start, bytes, kbit/s) of the frames from the start to the first thing that is none."""
    at = 0
    while at + 4 <= len(raw):
        head = int.from_bytes(raw[at : at + 4], "big")
        version, rate, hertz = head >> 19 & 3, head >> 12 & 15, head >> 10 & 3
        if head & 0xFFE6_0000 != 0xFFE2_0000 or version == 1 or rate % 15 == 0 or hertz == 3:
            return
        kbps = KBPS[version][rate - 1]
        samples = 144_000 if version == 3 else 72_000  # a frame, over 8 bits, times 1,000
        size = samples * kbps // HERTZ[version][hertz] + (head >> 9 & 1)
        yield at, size, kbps
        at += size
