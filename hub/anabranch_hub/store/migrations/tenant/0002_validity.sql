-- The head of a document may be invalid: `state`, `version`, `hub_seq` and `digest` are the head's, `content` is
-- live, what readers get. All three columns are NULL while head and live are one.

ALTER TABLE documents
    -- The version that is live; 0: the document has never been valid.
    ADD COLUMN live_version bigint,
    -- What is wrong with the head: [place, rule, reason, what would pass], ...
    ADD COLUMN violations json,
    -- The position of the change that led into quarantine.
    ADD COLUMN since bigint;
-- Whether the document was quarantined once the conflict was decided.
ALTER TABLE merges ADD COLUMN quarantined boolean NOT NULL DEFAULT false;
CREATE INDEX documents_quarantined ON documents (id) WHERE violations IS NOT NULL;
