"""Makes the reference vectors beside this file with sentence-transformers, the model's own library.

Run it by hand when the texts change, in a separate virtual environment, because PyTorch is no dependency of
this project. The repository has the result, and the tests compare the prepared graphs with it::

    python -m venv /tmp/reference && /tmp/reference/bin/pip install torch sentence-transformers
    /tmp/reference/bin/python tests/embedder/reference/make_reference.py --model DIR --out tests/embedder/reference

DIR is a folder with all-MiniLM-L6-v2 in Hugging Face style. The texts are texts.json's. Two files are
written: ``reference.npy`` (``(texts, 384) float32``, rows of unit length, in the texts' order) and
``reference.json`` (hashes of model and texts, versions, tokens of each text before it is cut).
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

TEXTS = Path(__file__).with_name("texts.json")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make reference vectors with sentence-transformers.")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model, Hugging Face style")
    parser.add_argument("--out", type=Path, required=True, help="folder for reference.json and reference.npy")
    options = parser.parse_args()

    import sentence_transformers
    import torch

    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    model = sentence_transformers.SentenceTransformer(str(options.model), device="cpu")
    vectors = model.encode(texts, batch_size=1, normalize_embeddings=True, convert_to_numpy=True)
    weights = hashlib.sha256((options.model / "model.safetensors").read_bytes()).hexdigest()
    about = {
        "model_sha256": weights,
        "texts_sha256": hashlib.sha256(TEXTS.read_bytes()).hexdigest(),
        "made_with": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}, float32",
        "max_seq_length": model.max_seq_length,
        "tokens": [len(ids) for ids in model.tokenizer(texts, truncation=False, padding=False)["input_ids"]],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "reference.npy", vectors.astype(np.float32))
    (options.out / "reference.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
