"""The servers a hub brings along when it is given none: a private Postgres and a private OpenBao."""
