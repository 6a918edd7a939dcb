"""From text to terms: what keyword search indexes and looks up. Pure functions; no search engine is known here.

``folding`` maps characters that mean the same to one spelling, ``scripts`` knows which characters form words,
``slices`` divides a long text where no term is, and ``terms`` cuts a text into terms.
"""
