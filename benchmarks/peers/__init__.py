"""The peers, measured with the same work by the same proxy: ``python -m benchmarks.peers``.

`install` puts what pip, npm and apt have of them into a folder of their own; `drivers/` holds a program for
each that speaks one protocol of JSON lines; `works` asks each the same questions; `table` lays the answers
beside ours.
"""
