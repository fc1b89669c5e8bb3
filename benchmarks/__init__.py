"""What it costs: bytes on the wire, seconds, memory, disk, measured on real processes.

``python -m benchmarks`` prints one JSON object; README.md says what each figure counts and how.
One module asks one question; `run` puts them in order, `fleet` starts what they need, `counting` is the
proxy that counts.
"""
