-- Each row of the audit holds a hash of itself and of the row before it; rows of before this have none.
ALTER TABLE audit ADD COLUMN hash BLOB;

-- Nobody changes or removes a row by the way; whoever does it all the same breaks the chain.
CREATE TRIGGER audit_change BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_removal BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
