-- The epochs that ended with a restore of the hub from a backup. Up to `known` the order of each is that of the
-- epoch after it; what was decided behind that, nobody here knows, but edges may.
CREATE TABLE epochs (
    epoch bigint PRIMARY KEY,
    known bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    ended_by text NOT NULL
);
