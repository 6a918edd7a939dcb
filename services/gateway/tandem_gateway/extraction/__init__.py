"""Text of files. It runs in a process of its own (``python -m tandem_gateway.extraction``) and knows no other package.

Nobody has checked a file, and parsers of PDF and Word are large programs. The process has limits on memory and CPU,
opens no file for writing, starts no process, and gets no secret of the gateway in its environment. Whatever a file does
to it, the gateway sees an exit status.
"""
