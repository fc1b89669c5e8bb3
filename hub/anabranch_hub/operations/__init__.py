"""What an operator needs of a running hub: its logs, its health, its whereabouts, an examination."""
