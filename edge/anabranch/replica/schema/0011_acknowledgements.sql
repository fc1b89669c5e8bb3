-- The last own change that is on the other side's disk, decided or not.
ALTER TABLE replica ADD COLUMN stored_mark INTEGER NOT NULL DEFAULT 0;

-- Which dots the changes of an outbox went on under when the replica got another incarnation, so that who
-- waits for one still finds it.
CREATE TABLE renamed (
    incarnation INTEGER NOT NULL,
    first_local INTEGER NOT NULL,
    changes INTEGER NOT NULL,           -- a run of consecutive ones
    new_incarnation INTEGER NOT NULL,
    new_first INTEGER NOT NULL,
    PRIMARY KEY (incarnation, first_local)
) WITHOUT ROWID;

-- What was offered again to a restored hub stands in front of what waited: the numbers of that grew.
CREATE TABLE shifted (
    epoch INTEGER PRIMARY KEY,          -- the one that began; changes of it are not meant
    incarnation INTEGER NOT NULL,
    first_local INTEGER NOT NULL,       -- from this number on
    changes INTEGER NOT NULL            -- by so many
);
