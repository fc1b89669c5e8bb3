-- standing: the one row of the replica
SELECT incarnation, cursor_epoch, cursor_hub_seq, base_epoch, base_hub_seq, push_mark, push_chain,
       last_local, last_chain, last_timestamp, digest_count, digest_sum, revision, prefixes,
       (SELECT max(revision) FROM documents WHERE namespace = 'system/schemas')
FROM replica;

-- marks: how far the replica has come
SELECT incarnation, last_local, push_mark, revision FROM replica;

-- identity: what never changes after creation
SELECT tenant, edge, author FROM replica;

-- prefixes: of the scope
SELECT prefixes FROM replica;

-- put_prefixes: the hub gave the replica another scope
UPDATE replica SET prefixes = ?;

-- link: what a reader must know to say how fresh the documents are
SELECT link, heard_ms, applied_ms, clock_offset_ms, revision FROM replica;

-- create_replica: the row of a new replica
INSERT INTO replica (
    only_row, tenant, edge, author, prefixes, incarnation, cursor_epoch, cursor_hub_seq, base_epoch,
    base_hub_seq, push_mark, push_chain, last_local, last_chain, last_timestamp, digest_count, digest_sum,
    revision
) VALUES (
    1, :tenant, :edge, :author, :prefixes, :incarnation, :epoch, 0, :epoch, 0, 0, :chain, 0, :chain, 0, 0, :zero, 0
);

-- document: the row of one document
SELECT document, revision, version, pending, live, served FROM documents WHERE namespace = ? AND key = ?;

-- named: whether a document is in the table itself, whatever the index says
SELECT 1 FROM documents NOT INDEXED WHERE namespace = ? AND key = ?;

-- misnamed: whether the names in the table are others than those in its index
SELECT 1 WHERE EXISTS (
    SELECT namespace, key, document FROM documents NOT INDEXED
    EXCEPT SELECT namespace, key, document FROM documents INDEXED BY sqlite_autoindex_documents_1
) OR EXISTS (
    SELECT namespace, key, document FROM documents INDEXED BY sqlite_autoindex_documents_1
    EXCEPT SELECT namespace, key, document FROM documents NOT INDEXED
);

-- visible: what readers see of a document the outbox touches, up to some change
SELECT upto, checksum, body FROM visible WHERE document = ?;

-- changed: what readers see anew after a revision
SELECT namespace, key, revision, content_revision FROM documents WHERE revision > ?;

-- listed: live documents at or below a namespace
SELECT namespace, key, version, pending, served FROM documents
WHERE live = 1 AND (namespace = :prefix OR (namespace > :low AND namespace < :high))
ORDER BY namespace, key;

-- counted: how many live documents there are
SELECT count(*) FROM documents WHERE live = 1;

-- schema_documents: the documents that hold policies
SELECT namespace, key FROM documents WHERE namespace = ? AND live = 1 ORDER BY key;

-- all_documents: every row, deleted documents included
SELECT document, namespace, key FROM documents;

-- add_document: a row for a document seen for the first time
INSERT INTO documents (namespace, key, revision, content_revision, version, pending, live)
VALUES (?, ?, 0, 0, 0, 0, 0);

-- show: what readers see of a document has changed; its content only if :content
UPDATE documents SET revision = :revision, version = :version, pending = :pending, live = :live, served = :served,
    content_revision = CASE WHEN :content THEN :revision ELSE content_revision END
WHERE document = :document;

-- put_quarantined: what is live of a document whose head the hub keeps in quarantine
INSERT OR REPLACE INTO quarantined (document, checksum, body) VALUES (?, ?, ?);

-- quarantined: what is live of a document, if its head is in quarantine
SELECT checksum, body FROM quarantined WHERE document = ?;

-- is_quarantined: whether the hub keeps a document's head in quarantine, and has said nothing newer ahead
SELECT 1 FROM quarantined WHERE document = ? AND document NOT IN (SELECT document FROM ahead);

-- release: the hub's word that a document's head is valid
DELETE FROM quarantined WHERE document = ?;

-- release_all: before the hub says anew which are not
DELETE FROM quarantined;

-- aside: documents of which readers do not see the head
SELECT namespace, key FROM documents WHERE served <> 'head' ORDER BY namespace, key;

-- aside_count: how many there are
SELECT count(*) FROM documents WHERE served <> 'head';

-- put_visible: what readers see, merged up to a change in the outbox
INSERT OR REPLACE INTO visible (document, upto, checksum, body) VALUES (?, ?, ?, ?);

-- drop_visible: the outbox does not touch the document any more
DELETE FROM visible WHERE document = ?;

-- put_confirmed: the hub has confirmed the document
INSERT OR REPLACE INTO confirmed (document, digest, checksum, body) VALUES (?, ?, ?, ?);

-- confirmed: what the hub has confirmed of a document, with the dictionary where it is packed behind it (codec 2)
SELECT c.digest, c.checksum, c.body, d.body
FROM confirmed c LEFT JOIN dictionary d ON substr(c.body, 1, 1) = x'02' WHERE c.document = ?;

-- dictionary: what documents are packed behind
SELECT body FROM dictionary;

-- put_dictionary: there was none
INSERT INTO dictionary (only_row, body) VALUES (1, ?);

-- drop_dictionary: everything is packed anew
DELETE FROM dictionary;

-- drop_confirmed: before everything is confirmed anew
DELETE FROM confirmed;

-- write: a change into the outbox
INSERT INTO outbox (local_seq, written_ms, chain, checksum, body, priority) VALUES (?, ?, ?, ?, ?, ?);

-- write_document: a document that a change in the outbox touches
INSERT INTO outbox_documents (document, local_seq) VALUES (?, ?);

-- wrote: the replica after an own change
UPDATE replica SET last_local = ?, last_chain = ?, last_timestamp = ?, revision = ?;

-- outbox_after: changes after one, oldest first
SELECT local_seq, checksum, body, priority FROM outbox WHERE local_seq > ? ORDER BY local_seq LIMIT ?;

-- outbox_between: changes of a run
SELECT local_seq, checksum, body, priority FROM outbox WHERE local_seq BETWEEN ? AND ?;

-- chain_at: the chain up to a change
SELECT chain FROM outbox WHERE local_seq = ?;

-- outbox_of: changes that touch a document, after one, oldest first
SELECT outbox.local_seq, outbox.checksum, outbox.body, outbox.priority
FROM outbox_documents JOIN outbox USING (local_seq)
WHERE outbox_documents.document = ? AND outbox.local_seq > ? ORDER BY outbox.local_seq;

-- waiting_documents: documents that the outbox touches, found without looking at all others
SELECT document, namespace, key FROM documents WHERE document IN (SELECT document FROM outbox_documents);

-- pending_documents: the same, as their own rows say
SELECT document, namespace, key FROM documents WHERE pending > 0;

-- oldest_unsent: when the oldest change after a mark was written
SELECT written_ms FROM outbox WHERE local_seq > ? ORDER BY local_seq LIMIT 1;

-- outbox_count: how many changes wait
SELECT count(*) FROM outbox;

-- decided: a change leaves the outbox
DELETE FROM outbox WHERE local_seq = ?;

-- decided_document: and no longer touches its document
DELETE FROM outbox_documents WHERE document = ? AND local_seq = ?;

-- acknowledge: the hub has merged up to a mark; a mark never goes back
UPDATE replica SET push_mark = :mark, push_chain = :chain WHERE push_mark < :mark;

-- note_stored: the other side has it all on disk up to a mark; a mark never goes back
UPDATE replica SET stored_mark = :mark WHERE stored_mark < :mark;

-- acknowledged: how far own changes have come
SELECT incarnation, last_local, max(stored_mark, push_mark), push_mark,
       min(push_mark, coalesce((SELECT min(local_seq) - 1 FROM outbox), last_local))
FROM replica;

-- renamed: the changes of an outbox go on under other dots
INSERT INTO renamed (incarnation, first_local, changes, new_incarnation, new_first) VALUES (?, ?, ?, ?, ?);

-- renamed_to: where a change went on, if its replica was renamed
SELECT new_incarnation, new_first + :local_seq - first_local FROM renamed
WHERE incarnation = :incarnation AND :local_seq BETWEEN first_local AND first_local + changes - 1;

-- note_shift: changes of an outbox got greater numbers under the same incarnation
INSERT INTO shifted (epoch, incarnation, first_local, changes) VALUES (?, ?, ?, ?);

-- shifts: of an incarnation, for a change whose author had seen an epoch
SELECT first_local, changes FROM shifted WHERE incarnation = ? AND epoch > ? ORDER BY epoch;

-- decided_as: what became of an own change that left the outbox
SELECT outcome, hub_seq FROM history WHERE incarnation = ? AND local_seq = ? LIMIT 1;

-- refused_for: why the hub refused an own change
SELECT reason FROM refused WHERE incarnation = ? AND local_seq = ?;

-- moved: the replica after a pull
UPDATE replica SET cursor_epoch = ?, cursor_hub_seq = ?, base_epoch = ?, base_hub_seq = ?,
    last_timestamp = ?, digest_count = ?, digest_sum = ?, revision = ?,
    heard_ms = ?, applied_ms = ?;

-- reset: the next pull starts from nothing
UPDATE replica SET cursor_epoch = 0, cursor_hub_seq = 0;

-- renumber: a change under a new incarnation
UPDATE outbox SET local_seq = ?, chain = ? WHERE local_seq = ?;

-- outbox_as_found: all of it, whatever is in it
SELECT local_seq, CAST(written_ms AS INTEGER), CAST(chain AS BLOB), CAST(checksum AS BLOB), CAST(body AS BLOB),
       CAST(priority AS INTEGER), typeof(chain) || typeof(checksum) || typeof(body) = 'blobblobblob'
FROM outbox ORDER BY local_seq;

-- outbox_row_as_found: one of it
SELECT local_seq, CAST(written_ms AS INTEGER), CAST(chain AS BLOB), CAST(checksum AS BLOB), CAST(body AS BLOB),
       CAST(priority AS INTEGER), typeof(chain) || typeof(checksum) || typeof(body) = 'blobblobblob'
FROM outbox WHERE local_seq = ?;

-- set_damaged_aside: a change of the outbox that is not what was written
INSERT INTO damaged_changes (incarnation, local_seq, merged, written_ms, noted_ms, documents, body)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- damaged_changes: those that are set aside, oldest first
SELECT incarnation, local_seq, merged, written_ms, noted_ms, documents, body FROM damaged_changes ORDER BY id;

-- damaged_changes_count: how many there are
SELECT count(*) FROM damaged_changes;

-- damaged_change: whether one is, and the hub has it
SELECT merged FROM damaged_changes WHERE incarnation = ? AND local_seq = ?;

-- drop_damaged_changes: somebody has what there is of them
DELETE FROM damaged_changes;

-- definition: how a table was made
SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?;

-- unreadable_count: tables that were put aside because SQLite cannot read them
SELECT count(*) FROM sqlite_master WHERE name LIKE 'unreadable_%';

-- vacuum_due: whether free pages may hold what was deleted
SELECT 1 FROM vacuum_due;

-- vacuumed: none does any more
DELETE FROM vacuum_due;

-- tables: all there are
SELECT name FROM sqlite_master WHERE type = 'table';

-- outbox_pairs: which changes touch which documents
SELECT document, local_seq FROM outbox_documents;

-- drop_outbox_pairs: before they are written anew
DELETE FROM outbox_documents;

-- adopted: the replica under a new incarnation
UPDATE replica SET incarnation = ?, push_mark = 0, stored_mark = 0, push_chain = ?, last_local = ?, last_chain = ?, revision = ?;

-- parts: the inbound batch so far
SELECT batch, total, offset, piece FROM parts ORDER BY offset;

-- parts_end: where the inbound batch so far ends
SELECT batch, total, offset + length(piece) FROM parts ORDER BY offset DESC LIMIT 1;

-- put_part: one more piece of it
INSERT INTO parts (offset, batch, total, piece) VALUES (?, ?, ?, ?);

-- drop_parts: applied, or another batch begins
DELETE FROM parts;

-- heard: what the agent knows of the link, and when the documents were proved equal to the hub's
UPDATE replica SET link = ?, heard_ms = coalesce(?, heard_ms), clock_offset_ms = coalesce(?, clock_offset_ms),
    proved_ms = coalesce(?, proved_ms), proved_hub_seq = coalesce(?, proved_hub_seq);

-- refuse: keep an own change that the hub refused
INSERT INTO refused (incarnation, local_seq, reason, decided_ms, body) VALUES (?, ?, ?, ?, ?);

-- refused: own changes that the hub refused, oldest first
SELECT incarnation, local_seq, reason, decided_ms, body FROM refused ORDER BY id;

-- refused_count: how many there are
SELECT count(*) FROM refused;

-- notice: a row of the hub's ledger that concerns this replica
INSERT OR REPLACE INTO notices (ledger, body) VALUES (?, ?);

-- trim_notices: keep the newest; the hub's ledger keeps all
DELETE FROM notices WHERE ledger <= (SELECT max(ledger) FROM notices) - ?;

-- notices: in the order of the ledger
SELECT body FROM notices ORDER BY ledger;

-- drop_notice: it is of a document that left the scope
DELETE FROM notices WHERE ledger = ?;

-- notices_count: how many there are
SELECT count(*) FROM notices;

-- remember: what became of a document
INSERT INTO history (document, version, hub_seq, incarnation, local_seq, wall_ms, author, message, outcome)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- trim_history: keep the newest; the hub keeps all
DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?;

-- drop_history_of: a document left the scope
DELETE FROM history WHERE document = ?;

-- history: of one document, oldest first
SELECT version, hub_seq, incarnation, local_seq, wall_ms, author, message, outcome FROM history
WHERE document = ? ORDER BY id;

-- log: the newest checkpoint of the hub's log that was seen
SELECT public_key, checkpoint, pinned_ms, seen_ms, hub_seq, epoch FROM log;

-- witness: a newer one; the pinned key stays
INSERT INTO log (only_row, public_key, checkpoint, pinned_ms, seen_ms, hub_seq, epoch)
VALUES (1, :public_key, :checkpoint, :now_ms, :now_ms, :hub_seq, :epoch)
ON CONFLICT (only_row) DO UPDATE SET checkpoint = excluded.checkpoint, seen_ms = excluded.seen_ms,
    hub_seq = excluded.hub_seq, epoch = excluded.epoch;

-- log_break: the log began anew with an epoch; what had been seen of it
INSERT OR REPLACE INTO log_breaks (epoch, reason, seen, shown, noted_ms)
SELECT :epoch, :reason, checkpoint, :checkpoint, :now_ms FROM log;

-- log_breaks: in the order of the epochs
SELECT epoch, reason, seen, shown, noted_ms FROM log_breaks ORDER BY epoch;

-- distrust: a log that was refused, up to a limit
INSERT INTO log_refusals (reason, checkpoint, first_ms, last_ms, times)
SELECT :reason, :checkpoint, :now_ms, :now_ms, 1
WHERE (SELECT count(*) FROM log_refusals) < :limit
    OR EXISTS (SELECT 1 FROM log_refusals WHERE reason = :reason AND checkpoint = :checkpoint)
ON CONFLICT (reason, checkpoint) DO UPDATE SET last_ms = excluded.last_ms, times = times + 1;

-- log_refusals: in the order of their beginning
SELECT reason, checkpoint, first_ms, last_ms, times FROM log_refusals ORDER BY id;

-- forget_log: the next checkpoint is the first
DELETE FROM log;

-- forget_refusals: and nothing is held against it
DELETE FROM log_refusals;

-- put_step: the way back from a confirmed content, numbered by the bytes of all so far
INSERT INTO steps (id, document, checksum, body)
SELECT coalesce(max(id), 0) + :bytes, :document, :checksum, :body FROM steps;

-- steps: the ways back from a document's content, oldest first
SELECT checksum, body FROM steps WHERE document = ? ORDER BY id;

-- trim_steps: keep the newest bytes; the hub keeps all
DELETE FROM steps WHERE id <= (SELECT max(id) FROM steps) - ?;

-- drop_steps: everything is confirmed anew, and nothing leads back from that
DELETE FROM steps;

-- drop_steps_of: nothing leads back from what a document is confirmed as now
DELETE FROM steps WHERE document = ?;

-- drop_confirmed_of: the hub does not have it
DELETE FROM confirmed WHERE document = ?;

-- digests: of all confirmed documents
SELECT digest FROM confirmed;

-- exported: a courier file that was made here
INSERT INTO exports (export, made_ms) VALUES (?, ?);

-- trim_exports: keep the newest
DELETE FROM exports WHERE number <= (SELECT max(number) FROM exports) - ?;

-- exports: courier files that were made here
SELECT export FROM exports;

-- ask_renewal: the next exchange or courier file asks for a new incarnation
INSERT OR IGNORE INTO renewals (incarnation) SELECT incarnation FROM replica;

-- renewal_due: whether the present incarnation must not go on
SELECT 1 FROM renewals JOIN replica USING (incarnation);

-- all_confirmed: documents that the hub has confirmed
SELECT document, namespace, key FROM documents JOIN confirmed USING (document) ORDER BY namespace, key;

-- incarnations: under which this replica wrote in the present epoch, before the one it has
SELECT incarnation FROM incarnations;

-- add_incarnation: one more
INSERT OR IGNORE INTO incarnations (incarnation) VALUES (?);

-- drop_incarnations: in the epoch that begins nothing was written yet
DELETE FROM incarnations;

-- note_reoffer: what a restored hub was offered
INSERT OR REPLACE INTO reoffers (epoch, past, known, changes, withheld, noted_ms) VALUES (?, ?, ?, ?, ?, ?);

-- reoffers: in the order of the epochs
SELECT epoch, past, known, changes, withheld, noted_ms FROM reoffers ORDER BY epoch;

-- drop_outbox_after: before it is written anew
DELETE FROM outbox WHERE local_seq > ?;

-- drop_outbox_pairs_after: and which documents it touches
DELETE FROM outbox_documents WHERE local_seq > ?;

-- written_after: when the changes after one were written
SELECT local_seq, written_ms FROM outbox WHERE local_seq > ?;

-- most_pressing_after: the least number is the most pressing
SELECT min(priority) FROM outbox WHERE local_seq > ?;

-- proved: when and where the documents were last proved equal to the hub's
SELECT proved_ms, proved_hub_seq FROM replica;

-- survey: what is confirmed, and what shows that it is what was written
SELECT d.document, d.namespace, d.key, c.digest, c.checksum, c.body, g.document IS NOT NULL
FROM documents d LEFT JOIN confirmed c USING (document) LEFT JOIN damaged g USING (document)
WHERE c.document IS NOT NULL OR g.document IS NOT NULL;

-- note_damage: some read has met it
INSERT OR IGNORE INTO damaged (document) VALUES (?);

-- heal: the hub has sent it whole
DELETE FROM damaged WHERE document = ?;

-- heal_all: the hub has sent everything
DELETE FROM damaged;

-- damaged_count: how many documents are known to be damaged
SELECT count(*) FROM damaged;

-- report: keep an incident
INSERT INTO incidents (at_ms, kind, remedy, hub_seq, count, documents) VALUES (?, ?, ?, ?, ?, ?);

-- trim_incidents: keep the newest
DELETE FROM incidents WHERE id <= (SELECT max(id) FROM incidents) - ?;

-- incidents: oldest first
SELECT at_ms, kind, remedy, hub_seq, count, documents FROM incidents ORDER BY id;

-- incidents_count: how many are kept
SELECT count(*) FROM incidents;

-- staged: the parts of a snapshot that are here
SELECT name FROM staged ORDER BY rowid;

-- staged_body: one of them
SELECT body FROM staged WHERE name = ?;

-- keep_staged: one more of them
INSERT OR REPLACE INTO staged (name, body) VALUES (?, ?);

-- drop_staged: one that is of no use any more
DELETE FROM staged WHERE name = ?;

-- drop_all_staged: they are swapped in, or something newer was applied
DELETE FROM staged;

-- spend: more bytes of a day
INSERT INTO traffic (day, bytes_up, bytes_down) VALUES (?, ?, ?)
ON CONFLICT (day) DO UPDATE SET bytes_up = bytes_up + excluded.bytes_up, bytes_down = bytes_down + excluded.bytes_down;

-- trim_traffic: forget the days before
DELETE FROM traffic WHERE day < ?;

-- traffic: of the days from one to another
SELECT coalesce(sum(bytes_up), 0), coalesce(sum(bytes_down), 0) FROM traffic WHERE day BETWEEN ? AND ?;

-- traffic_days: the newest days on which the link carried something
SELECT day, bytes_up, bytes_down FROM traffic ORDER BY day DESC LIMIT ?;

-- budget: what the link may carry in a day and a month, as was set here and as the hub says
SELECT budget_day, budget_month, ordered_day, ordered_month FROM replica;

-- set_ordered_budget: both, as the hub says
UPDATE replica SET ordered_day = ?, ordered_month = ?;

-- set_budget: both
UPDATE replica SET budget_day = ?, budget_month = ?;

-- last_urgent_after: the last urgent change after one
SELECT coalesce(max(local_seq), 0) FROM outbox WHERE local_seq > ? AND priority = 0;

-- link_mode: how this edge keeps in touch
SELECT poll_ms, metered FROM replica;

-- set_link_mode: both
UPDATE replica SET poll_ms = ?, metered = ?;

-- put_ahead: an urgent document that overtook a pull; never an older one in place of a newer
INSERT INTO ahead (document, upto_epoch, upto_hub_seq, checksum, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (document) DO UPDATE SET upto_epoch = excluded.upto_epoch, upto_hub_seq = excluded.upto_hub_seq,
    checksum = excluded.checksum, body = excluded.body
WHERE (excluded.upto_epoch, excluded.upto_hub_seq) >= (upto_epoch, upto_hub_seq);

-- ahead: what readers see of a document instead of what is confirmed
SELECT checksum, body FROM ahead WHERE document = ?;

-- all_ahead: the documents that are ahead of the cursor, and how far (CROSS: SQLite would begin with all documents)
SELECT namespace, key, upto_epoch, upto_hub_seq FROM ahead CROSS JOIN documents USING (document);

-- drop_ahead: what is confirmed has come as far
DELETE FROM ahead WHERE (upto_epoch, upto_hub_seq) <= (?, ?);

-- drop_ahead_of: what is kept of a document is damaged
DELETE FROM ahead WHERE document = ?;

-- overtaken: readers see other documents; the next change is written later than what they see
UPDATE replica SET last_timestamp = ?, revision = ?;

-- subscription: what was granted, what is asked for, what is here, what the hub was told and whether it took note
SELECT granted, subscription, prefixes, subscription_told, subscription_known FROM replica;

-- subscribe: what to ask for
UPDATE replica SET subscription = ?;

-- subscribed: the hub was told, took note or not, and what it granted where that is another than was known
UPDATE replica SET subscription_told = ?, subscription_known = ?, granted = coalesce(?, granted);

-- kept_documents: those that take room, how much, and in how many waiting changes they are
SELECT namespace, key, coalesce(length(body), 0), pending FROM documents LEFT JOIN confirmed USING (document)
WHERE body IS NOT NULL OR pending > 0;
