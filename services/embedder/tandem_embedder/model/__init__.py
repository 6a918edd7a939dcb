"""The prepared model: its files and their verification, the tokenizer and the ONNX session."""
