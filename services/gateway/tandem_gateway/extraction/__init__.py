"""Text of files. It runs in a process of its own (``python -m tandem_gateway.extraction``) and knows no other package.

A file comes from a stranger, and a parser of PDF or Word is a large surface. The process has limits on memory and CPU,
opens no file for writing, starts no process, and gets no secret of the gateway in its environment. Whatever a file does
to it, the gateway sees an exit status.
"""
