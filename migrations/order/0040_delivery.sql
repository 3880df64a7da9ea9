-- When what a parcel's status says happened; null as long as nothing was reported.
ALTER TABLE "order".transport ADD COLUMN date_status timestamptz;

-- What carriers reported, each once, whatever became of it.
CREATE TABLE "order".transport_event (
    provider       text        NOT NULL, -- the component that checked it
    event_id       text        NOT NULL, -- the carrier's own
    transport_id   bigint      NOT NULL,
    status         text        NOT NULL,
    carrier_status text        NOT NULL, -- the carrier's own word
    reason         text,
    date_occurred  timestamptz NOT NULL,
    date_received  timestamptz NOT NULL,
    CONSTRAINT transport_event_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT transport_event_transport_fkey FOREIGN KEY (transport_id) REFERENCES "order".transport (id),
    CONSTRAINT transport_event_status_known
        CHECK (status IN ('Pending', 'Processing', 'Success', 'Cancelled', 'Failed'))
);

-- SELECT ... WHERE transport_id = $1: what was reported of a parcel.
CREATE INDEX transport_event_transport_idx ON "order".transport_event (transport_id);
