-- A journal of format 1, as its release wrote it: a run with results of every kind, closed in the ordinary way.
PRAGMA application_id = 1280528706;
PRAGMA journal_mode = wal;
BEGIN TRANSACTION;
CREATE TABLE journal (version INTEGER NOT NULL, operation TEXT NOT NULL, run INTEGER NOT NULL);
INSERT INTO "journal" VALUES(1,'created',6);
CREATE TABLE rows (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL, run INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, number TEXT, ticket_id TEXT, ticket_key TEXT, error TEXT, original TEXT
) WITHOUT ROWID;
INSERT INTO "rows" VALUES('3a11e967cc464f692598db3588855ed2','3a11e967cc464f692598db3588855ed2','done',1,2,'2','16e842b2-3c32-4fe1-a5f5-54057bf468ae','#002',NULL,NULL);
INSERT INTO "rows" VALUES('3a11e967cc464f692598db3588855ed2-2','3a11e967cc464f692598db3588855ed2','done',1,1,'3','3e4817f7-2adc-41df-914d-9b9d379530f2','#003',NULL,NULL);
INSERT INTO "rows" VALUES('done','787039d61a43e57ca7c7742d7883177e','done',1,1,'1','0598dd6c-6c71-4ac4-912b-844e07df5312','#001',NULL,NULL);
INSERT INTO "rows" VALUES('edited','367816a3f12329753374264db6853778','failed',4,1,NULL,NULL,NULL,'BadRequestError','b726ccadc9791a0cab4a8f14eb16b804');
INSERT INTO "rows" VALUES('failed','8a335af1ff7663e143044451ec58e59c','failed',2,1,NULL,NULL,NULL,'BadRequestError',NULL);
INSERT INTO "rows" VALUES('pending','ca92a63391c42820985bded5f40ef837','pending',6,1,NULL,NULL,NULL,'RateLimitError',NULL);
INSERT INTO "rows" VALUES('unknown','57d96bc8dfc615d374f1b42dab35fbea','unknown',5,1,NULL,NULL,NULL,'OutcomeUnknownError',NULL);
CREATE INDEX states ON rows (state);
COMMIT;
