"""The core of anabranch: values in, values out.

No module here opens a file or a socket, reads a clock, draws a random number, logs or awaits: time
and chance arrive as arguments. The edge, the hub and the simulator all drive this same code, so a
failure of either can be replayed from a seed.
"""
