"""The tokenizer of keyword search: pure functions from text to terms, independent of the search engine.

``folding`` maps characters with the same meaning to one spelling. ``scripts`` defines which characters form words.
``slices`` divides a long text at places that split no term. ``terms`` splits a text into terms.
``query_syntax`` parses a query. ``offsets`` and ``matches`` find the places of its words in a text.
"""
