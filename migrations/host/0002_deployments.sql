-- A component's bytes, so that any node can load what an invocation is pinned to.
CREATE TABLE revision (
    digest     bytea       NOT NULL, -- sha256 of wasm
    wasm       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT revision_pkey PRIMARY KEY (digest),
    CONSTRAINT revision_digest_is_sha256 CHECK (octet_length(digest) = 32)
);
-- Compressing megabytes costs more than storing them.
ALTER TABLE revision ALTER COLUMN wasm SET STORAGE EXTERNAL;

-- A registered version of the application. The same set of revisions is the same deployment, whichever node registers it.
CREATE TABLE deployment (
    number     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    digest     bytea       NOT NULL, -- of all components with their revisions
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deployment_pkey PRIMARY KEY (number),
    CONSTRAINT deployment_digest_key UNIQUE (digest)
);

CREATE TABLE deployment_component (
    deployment bigint NOT NULL,
    component  text   NOT NULL,
    revision   bytea  NOT NULL,
    CONSTRAINT deployment_component_pkey PRIMARY KEY (deployment, component),
    CONSTRAINT deployment_component_deployment_fkey FOREIGN KEY (deployment) REFERENCES deployment (number) ON DELETE CASCADE,
    CONSTRAINT deployment_component_revision_fkey FOREIGN KEY (revision) REFERENCES revision (digest)
);
