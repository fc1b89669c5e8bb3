-- Notices now say who wrote each value, where and when. Those of before do not, and cannot be read any
-- more; the rows themselves are in the hub's ledger.
DELETE FROM notices;
