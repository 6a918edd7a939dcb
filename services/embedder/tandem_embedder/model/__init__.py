"""The prepared model: its files, the check of them, the tokenizer and the ONNX session."""
