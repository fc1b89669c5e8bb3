"""How hypothesis runs here: the same cases each time, and never a judgement of speed."""

from hypothesis import HealthCheck, settings

# A red run must be red again when it is repeated. New cases are for `pytest --hypothesis-seed=random`,
# the merge laws' seeds and `make fuzz`; no deadline, for the machine may be busy.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
