-- Who is suspended is signed in nowhere afterwards, not even when the suspension is over: a token that somebody took must not come back
-- with it. An operator changes the status by SQL, so it is the table that ends the sign-ins, whichever program is asked or none.
-- `date_revoked` is compared with no clock: that it is there is what counts.
CREATE FUNCTION revoke_refresh_families() RETURNS trigger
LANGUAGE plpgsql SET search_path = account, pg_temp AS $$
BEGIN
    UPDATE refresh_family SET date_revoked = now() WHERE account_id = NEW.id AND date_revoked IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER account_suspended AFTER UPDATE OF status ON account FOR EACH ROW
    WHEN (NEW.status = 'Suspended' AND OLD.status <> 'Suspended')
    EXECUTE FUNCTION revoke_refresh_families();

-- Those who were suspended before.
UPDATE refresh_family SET date_revoked = now()
    WHERE date_revoked IS NULL AND account_id IN (SELECT id FROM account WHERE status = 'Suspended');
