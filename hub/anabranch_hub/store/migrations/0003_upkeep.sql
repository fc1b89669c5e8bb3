-- When the upkeep of each tenant began last, and what came of it.
CREATE TABLE upkeep (
    tenant text COLLATE "C" PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    begun_at timestamptz NOT NULL DEFAULT now(),
    -- NULL: it is under way, or whoever did it died in it.
    ended_at timestamptz,
    -- In numbers, by name.
    done json NOT NULL DEFAULT '{}',
    failed text[] NOT NULL DEFAULT '{}'
);
