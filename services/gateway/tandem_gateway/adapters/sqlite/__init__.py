"""The document store in SQLite: one file, one writer, group commits.

``schema`` has the tables and what must hold between them, ``connection`` opens the file and names its errors,
``writer`` is the one thread that writes, ``writes`` and ``reads`` are the statements, ``check`` proves the file
sound, ``mark`` notices a log that lost its end, ``store`` and ``feed`` are the two ports.
"""
