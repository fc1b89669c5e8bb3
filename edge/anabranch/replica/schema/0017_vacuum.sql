-- A file of before what is deleted was overwritten may hold it in its free pages: it is written anew, once.
CREATE TABLE vacuum_due (only_row INTEGER PRIMARY KEY CHECK (only_row = 1));
INSERT INTO vacuum_due (only_row) SELECT 1 FROM replica;
