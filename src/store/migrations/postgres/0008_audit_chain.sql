-- Each row of the audit holds a hash of itself and of the row before it; rows of before this have none.
ALTER TABLE audit ADD COLUMN hash bytea;

-- Nobody changes or removes a row by the way; whoever does it all the same breaks the chain.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE TRIGGER audit_change BEFORE UPDATE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_removal BEFORE DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
