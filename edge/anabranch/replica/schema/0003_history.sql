-- The way back: for each pull that changed a confirmed document, what leads to the content before it. What
-- is received for the first time has nothing before it and leaves no step.
CREATE TABLE steps (
    id INTEGER PRIMARY KEY,             -- grows by the bytes of each step, see past.put_step
    document INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    body BLOB NOT NULL                  -- sealed past.Step
);
CREATE INDEX steps_by_document ON steps (document);
