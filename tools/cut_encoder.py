"""Keep the lower layers of a Whisper encoder: they know more about how something is said.

    python -m tools.cut_encoder WHISPER --layers 4 --out build/whisper-base-4

Depth is chosen with `tools/probe_held_out.py`, on speakers and corpora that measure nothing.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers.models.whisper.modeling_whisper import WhisperEncoder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder", type=Path, help="folder of a Whisper encoder")
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = WhisperEncoder.from_pretrained(options.encoder, dtype=torch.float32)
    if not 0 < options.layers <= len(model.layers):
        raise SystemExit(f"--layers {options.layers}: this encoder has {len(model.layers)}")
    model.layers = model.layers[: options.layers]
    model.config.encoder_layers = model.config.num_hidden_layers = options.layers
    model.half().save_pretrained(options.out)
    shutil.copy(options.encoder / "preprocessor_config.json", options.out)


if __name__ == "__main__":
    main()
