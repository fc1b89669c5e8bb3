-- What this edge asks for of what it was granted (JSON lists of prefixes, * for all): as somebody wants it here, as
-- the hub was told last, and whether it took note; what was granted, empty where that is the scope itself.
ALTER TABLE replica ADD COLUMN granted TEXT NOT NULL DEFAULT '';
ALTER TABLE replica ADD COLUMN subscription TEXT NOT NULL DEFAULT '["*"]';
ALTER TABLE replica ADD COLUMN subscription_told TEXT NOT NULL DEFAULT '["*"]';
ALTER TABLE replica ADD COLUMN subscription_known INTEGER NOT NULL DEFAULT 1;
