-- When deployments and bytes were last known to be in use, so that what nobody uses can be forgotten. Nodes of the version before do not say
-- that they use one again; what they run on is seen at their rows.
ALTER TABLE deployment ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE revision ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE VIEW host_view.deployment AS
    SELECT number, created_at, used_at FROM host.deployment;

CREATE OR REPLACE VIEW host_view.revision AS
    SELECT encode(digest, 'hex') AS digest, octet_length(wasm) AS size_bytes, created_at, used_at FROM host.revision;
