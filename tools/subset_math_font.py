"""Cut STIX Math to the glyphs that formulas of the lessons use: `course/assets/math.woff`.

    python -m tools.subset_math_font STIXMath-Regular.otf

Without a font that has a MATH table, browsers draw sums, hats and primes of MathML wrong. The font
comes with most Linux distributions (Debian: fonts-stix); its licence is that of the subset.
"""

import argparse
import io
from pathlib import Path

from fontTools.subset import Options, Subsetter, save_font
from fontTools.ttLib import TTFont

TARGET = Path(__file__).resolve().parents[1] / "course" / "assets" / "math.woff"
RANGES = """
20-7E A0 AC AF B1 B7 D7 F7 300-30C 338 391-3D6 3F1 3F5 2010-2027 2032-2034 2044 2061-2063 210B 210E
2112 2113 2115 2119 211B 211D 212C 2130 2131 2190-2194 21A6 21D0 21D2 21D4 2200-226B 2295 2297 2299
22A4 22C5 22EE 22EF 2308-230B 23DE 23DF 25A1 25CB 27E8 27E9 2A2F 1D400-1D467 1D49C-1D4B5 1D53C
1D6E2-1D71B
"""  # Latin, Greek, accents, operators, arrows, brackets; bold, italic and script letters


def codes(ranges: str = RANGES) -> set[int]:
    """The code points of `ranges`, hexadecimal."""
    ends = [[int(end, 16) for end in word.split("-")] for word in ranges.split()]
    return {code for end in ends for code in range(end[0], end[-1] + 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("font", type=Path)
    options = Options(flavor="woff", layout_features=["*"], name_IDs=[], hinting=False)
    options.drop_tables += ["FFTM", "GDEF", "GPOS"]
    font = TTFont(parser.parse_args().font, recalcTimestamp=False)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=codes())
    subsetter.subset(font)
    cut = io.BytesIO()
    save_font(font, cut, options)
    TARGET.write_bytes(cut.getvalue())
    print(f"{TARGET.name}: {len(font.getGlyphOrder())} glyphs, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
