ALTER TABLE replicas
    -- Where the replica stood when it last said that all it had written was here: what it writes since then was
    -- written by somebody who had seen that much.
    ADD COLUMN drained_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN drained_seq bigint NOT NULL DEFAULT 0;

ALTER TABLE documents
    -- Tombstones up to here may be forgotten: who had not seen that much cannot change the document any more.
    ADD COLUMN forgotten_seq bigint NOT NULL DEFAULT 0;

ALTER TABLE tenant_state
    -- Collected tombstones up to here are forgotten.
    ADD COLUMN forgotten_seq bigint NOT NULL DEFAULT 0;
