"""What the embedded corpus is made of: speakers, sentences, rules of expression, raters.

Each rule is `(value at strength 1, where it comes from)`. The sources give a direction, and
some a figure for their own synthesizer; "size: ours" marks a magnitude that no source prints.
Quoted from memory, not from the originals; only M&A's table was checked, against a restatement.

B&S  Burkhardt & Sendlmeier 2000, Verification of acoustical correlates of emotional speech using
     formant-synthesis (ISCA workshop on speech and emotion)
M&A  Murray & Arnott 1993, Toward the simulation of emotion in synthetic speech (JASA 93), table 1
S    Schröder 2001, Emotional speech synthesis: a review (Eurospeech), table of prosody rules,
     which also restates Cahn 1990 and Murray & Arnott 1995
J&L  Juslin & Laukka 2003, Communication of emotions in vocal expression (Psych. Bulletin 129)
"""

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# name: (unit, spread between clips, spread between speakers' styles in the same unit).
# Both spreads are ours: they set how hard the corpus is.
PARAMETERS = {
    "f0": ("semitones", 0.8, 0.0),
    "range": ("% of the voice's range", 12.0, 12.0),
    "rate": ("octaves of speed", 0.06, 0.04),
    "loudness": ("dB", 1.5, 0.0),
    "tilt": ("dB per octave above 500 Hz", 0.6, 0.7),
    "breath": ("aspiration noise, share of the envelope", 0.03, 0.03),
    "jitter": ("% of the period", 0.2, 0.2),
    "tremor": ("semitones at 5.5 Hz", 0.1, 0.05),
    "rough": ("depth of irregular amplitude modulation", 0.05, 0.04),
    "formants": ("% of frequency", 1.0, 0.0),
    "wave": ("semitones, words alternately up and down", 0.5, 0.3),
    "final": ("semitones, last third of the sentence", 0.8, 0.3),
}

RULES = {
    "neutral": {},
    "calm": {  # no rule was published for calm: J&L's tenderness, which calm is nearest to
        "f0": (-1.5, "J&L tenderness: low mean F0; size: ours"),
        "range": (-35.0, "J&L tenderness: little F0 variability; size: ours"),
        "rate": (-0.18, "J&L tenderness: slow; size: ours"),
        "loudness": (-5.0, "J&L tenderness: low intensity; size: ours"),
        "tilt": (-1.6, "J&L tenderness: little high-frequency energy; size: ours"),
        "breath": (0.06, "ours: soft, slightly breathy voice"),
        "final": (-1.0, "ours: even, falling close"),
    },
    "happy": {
        "f0": (7.0, "B&S joy: F0 mean +50 %"),
        "range": (95.0, "B&S joy: F0 range +100 %"),
        "rate": (0.25, "B&S joy: tempo +30 %, lessened as M&A allow 'faster or slower'"),
        "loudness": (4.0, "M&A: intensity higher; size: ours"),
        "tilt": (1.2, "B&S joy: modal or tense voice; size: ours"),
        "breath": (0.06, "M&A: breathy, blaring; size: ours"),
        "formants": (5.0, "B&S joy: lip spreading, F1 and F2 +10 %; halved, as all formants move"),
        "wave": (2.5, "B&S joy: wave model, stressed parts up and those between down; size: ours"),
    },
    "sad": {
        "f0": (-2.5, "M&A: pitch slightly lower; size: ours"),
        "range": (-45.0, "M&A: range slightly narrower; Cahn in S: -5 of 10"),
        "rate": (-0.28, "Cahn in S: tempo -10 of 10; M&A: slightly slower; size: ours"),
        "loudness": (-7.0, "Cahn in S: loudness -5 of 10; size: ours"),
        "tilt": (-3.2, "Cahn in S: brilliance -9 of 10; size: ours"),
        "breath": (0.25, "Cahn in S: breathiness +10 of 10; size: ours"),
        "jitter": (0.8, "B&S crying despair: jitter; size: ours"),
        "final": (-2.0, "M&A: downward inflections; size: ours"),
    },
    "angry": {
        "f0": (4.0, "M&A: pitch very much higher; size: ours"),
        "range": (75.0, "M&A 1995 in S: range +9 semitones"),
        "rate": (0.22, "M&A 1995 in S: tempo +30 words a minute"),
        "loudness": (6.0, "M&A 1995 in S: loudness +6 dB"),
        "tilt": (3.2, "B&S anger: tense phonation; size: ours"),
        "rough": (0.35, "M&A 1995 in S: laryngealisation +78 %; size: ours"),
        "wave": (1.5, "M&A: abrupt changes on stressed syllables; size: ours"),
    },
    "fearful": {
        "f0": (9.0, "B&S fear: F0 mean +150 %, lessened to +68 %, all that the synthesizer gives"),
        "range": (20.0, "B&S fear: F0 range +20 %"),
        "rate": (0.36, "B&S fear: tempo +30 %"),
        "tilt": (-1.6, "B&S fear: falsetto, weak upper harmonics; size: ours"),
        "breath": (0.08, "B&S fear: falsetto; size: ours"),
        "jitter": (1.6, "M&A: irregular voicing; size: ours"),
        "tremor": (0.6, "M&A: irregular voicing; size: ours"),
    },
    "disgust": {
        "f0": (-4.0, "M&A: pitch very much lower; size: ours"),
        "range": (15.0, "M&A: range slightly wider; size: ours"),
        "rate": (-0.40, "M&A: very much slower; size: ours"),
        "loudness": (-3.0, "M&A: intensity lower; size: ours"),
        "tilt": (0.8, "M&A: grumbled; size: ours"),
        "rough": (0.45, "M&A: grumbled chest tone; size: ours"),
        "formants": (-4.0, "M&A: chest tone; size: ours"),
        "final": (-4.0, "M&A: wide downward terminal inflections; size: ours"),
    },
    "surprised": {
        "f0": (4.0, "ours: Cahn in S leaves the mean and lowers the reference line"),
        "range": (80.0, "Cahn in S: range +8 of 10"),
        "rate": (0.12, "Cahn in S: tempo +4 of 10; size: ours"),
        "loudness": (3.0, "Cahn in S: loudness +5 of 10; size: ours"),
        "tilt": (-0.8, "Cahn in S: brilliance -3 of 10; size: ours"),
        "breath": (0.10, "ours: breath taken in"),
        "final": (6.0, "Cahn in S: contour slope +10 of 10; above 2 the question tune"),
    },
}

INTENSITIES = {"normal": 0.8, "strong": 1.0}  # share of the rules; neutral has only normal

# (speaker, gender, espeak-ng voice, pitch factor, vocal tract factor, strength).
# Strength is how much of the rules the speaker applies: some act well, some hardly.
# espeak-ng 1.51 ignores the variant of "en-gb+…" and "fr-fr+…" without a word: write en and fr.
SPEAKERS = (
    ("de01", "female", "de+f2", 1.05, 1.02, 1.00),
    ("de02", "male", "de+m3", 1.10, 1.00, 0.85),
    ("de03", "female", "de+f5", 1.00, 0.98, 0.70),
    ("de04", "male", "de+m7", 0.95, 0.96, 1.05),
    ("de05", "female", "de+linda", 0.90, 1.00, 0.85),
    ("de06", "male", "de+m1", 1.20, 1.04, 0.65),
    ("en01", "female", "en+f3", 1.00, 1.00, 0.90),
    ("en02", "male", "en+m2", 1.15, 1.02, 1.00),
    ("en03", "female", "en-us+f4", 1.15, 1.03, 1.05),
    ("en04", "male", "en-us+m5", 1.00, 0.97, 0.70),
    ("en05", "female", "en+anika", 0.85, 0.98, 0.65),
    ("en06", "male", "en-us+Lee", 1.25, 1.03, 0.85),
    ("fr01", "female", "fr+f1", 1.15, 1.03, 0.85),
    ("fr02", "male", "fr+m6", 1.10, 1.00, 1.05),
    ("fr03", "female", "fr+Andrea", 0.90, 0.97, 1.00),
    ("fr04", "male", "fr+m8", 1.35, 1.02, 0.70),
    ("fr05", "female", "fr+f2", 1.05, 0.97, 0.70),
    ("fr06", "male", "fr+max", 1.20, 1.04, 0.90),
    ("it01", "female", "it+belinda", 0.95, 1.01, 1.00),
    ("it02", "male", "it+m4", 1.15, 0.98, 0.85),
    ("it03", "female", "it+steph", 1.10, 1.03, 0.70),
    ("it04", "male", "it+m3", 0.95, 0.96, 1.00),
    ("it05", "female", "it+f4", 1.20, 1.02, 0.90),
    ("it06", "male", "it+travis", 1.10, 1.02, 0.65),
)

SENTENCES = {
    "de": (
        "Die Kinder warten heute vor der alten Schule.",
        "Er hat die Briefe auf den Tisch gelegt.",
        "Wir fahren am Mittwoch wieder nach Hause.",
        "Sie stellt das Wasser neben das Fenster.",
    ),
    "en": (
        "The children left their bags beside the kitchen door.",
        "She told him the train was leaving at seven.",
        "We put the letters on the table this morning.",
        "They will meet us near the old stone bridge.",
    ),
    "fr": (
        "Les enfants attendent devant la vieille école.",
        "Il a posé les lettres sur la table du salon.",
        "Nous rentrons à la maison mercredi soir.",
        "La valise est encore près de la porte.",
    ),
    "it": (
        "I ragazzi aspettano davanti alla vecchia scuola.",
        "Ha lasciato le lettere sopra il tavolo.",
        "Torniamo a casa mercoledì pomeriggio.",
        "La valigia è ancora vicino alla porta.",
    ),
}

RATERS = 9
# Simulated raters, ours: a row is what nine raters hear in a clip of strength 1 (order: EMOTIONS).
# A weaker clip mixes in WEAK: weight 1 - strength, strength clipped to 0..1.
CONFUSION = {
    "neutral": (0.78, 0.12, 0.01, 0.05, 0.01, 0.01, 0.01, 0.01),
    "calm": (0.22, 0.62, 0.02, 0.12, 0.00, 0.00, 0.02, 0.00),
    "happy": (0.04, 0.02, 0.74, 0.01, 0.05, 0.02, 0.00, 0.12),
    "sad": (0.06, 0.10, 0.00, 0.74, 0.00, 0.05, 0.05, 0.00),
    "angry": (0.04, 0.00, 0.04, 0.00, 0.80, 0.03, 0.06, 0.03),
    "fearful": (0.04, 0.00, 0.04, 0.10, 0.04, 0.66, 0.02, 0.10),
    "disgust": (0.08, 0.03, 0.01, 0.12, 0.12, 0.02, 0.60, 0.02),
    "surprised": (0.03, 0.00, 0.16, 0.00, 0.03, 0.08, 0.02, 0.68),
}
WEAK = (0.50, 0.14, 0.06, 0.08, 0.06, 0.05, 0.05, 0.06)

PAD_NOISE = 0.35  # standard deviation of pleasure, arousal and dominance around strength x PAD
