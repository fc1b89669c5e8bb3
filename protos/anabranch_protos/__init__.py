"""What edge and hub say to each other outside the frames: the service, its messages, the invitation."""
