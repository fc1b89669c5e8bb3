"""Version 1 of the service. Frames have versions of their own, agreed in Hello and Welcome."""
