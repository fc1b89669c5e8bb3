"""The demonstration: a real hub, real edges, links that break, and a real catalogue of models and prices."""
