"""The simulator: a fleet in one process. The production sessions over modelled disks, clocks and links."""
