-- Where a change that its author called urgent last touched a document; 0: none has.
ALTER TABLE documents ADD COLUMN urgent_seq bigint NOT NULL DEFAULT 0;
