"""Fuzzing of everything that decodes bytes from outside: ``python -m tests.fuzz --frames 200000``.

Valid encodings are mutated, byte by byte and inside their structure, and given to every decoder. Only
errors of the wire may come out; a child process under a bound of memory and of CPU time per case does
the work, so that a crash, a hang or a bloat is found as what it is. A case is its number: ``--only N``
with the same ``--seed`` plays it again.
"""
