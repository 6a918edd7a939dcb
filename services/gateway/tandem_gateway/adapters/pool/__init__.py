"""Embedders behind one name: which there are, which of them is asked, and what is made of their failures.

The decisions are pure functions, with the clock and the random numbers as arguments: ``addresses`` (who belongs to the
pool), ``choice`` (who is asked), ``health`` (who is left out, and when it takes part again) and ``budget`` (how many
calls may be tried again). ``pool`` carries them out.
"""
