-- What a deployment keeps of the manifest: who answers whom, what each component is granted, its limits. What began on it goes on with that,
-- whatever the manifest says by then. None of a deployment that was registered before this column, or by a node of the version before: it is
-- built of what the manifest of its node says. No value of a variable is in it.
ALTER TABLE deployment ADD COLUMN manifest text;

CREATE OR REPLACE VIEW host_view.deployment AS
    SELECT number, created_at, used_at, manifest FROM host.deployment;
