"""``tandem dev``: both services on this machine, with a model and, if asked, with sample documents."""
