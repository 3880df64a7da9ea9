-- Quantities per owner, their units, who holds them, and every movement. Times and reservation ids come from the caller.

CREATE TABLE stock (
    id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    ref_type        text        NOT NULL,
    ref_id          uuid        NOT NULL,
    stock           bigint      NOT NULL, -- free to reserve
    taken           bigint      NOT NULL, -- held or sold
    serial_required boolean     NOT NULL, -- then `stock` = number of its Active serials
    date_created    timestamptz NOT NULL,
    CONSTRAINT stock_pkey PRIMARY KEY (id),
    -- Also the order in which a transaction locks several stocks, so that two carts never wait for each other.
    CONSTRAINT stock_ref_key UNIQUE (ref_type, ref_id),
    CONSTRAINT stock_ref_type_known CHECK (ref_type IN ('ProductSku', 'Promotion')),
    CONSTRAINT stock_stock_not_negative CHECK (stock >= 0),
    CONSTRAINT stock_taken_not_negative CHECK (taken >= 0),
    -- Clients read quantities as JSON numbers, exact only up to 2^53.
    CONSTRAINT stock_total_exact_in_json CHECK (stock + taken <= 9007199254740991)
);

-- Held, then committed (sold) or released; never deleted while its id may be asked for again. A row that was released without ever
-- having been held blocks its id: an undo that overtook the reserve it undoes.
CREATE TABLE reservation (
    id            uuid        NOT NULL, -- chosen by its owner
    state         text        NOT NULL,
    expires_at    timestamptz,          -- null only for an id that was blocked
    released_by   text,                 -- request: its owner; expiry: time
    date_created  timestamptz NOT NULL,
    date_updated  timestamptz NOT NULL,
    CONSTRAINT reservation_pkey PRIMARY KEY (id),
    CONSTRAINT reservation_state_known CHECK (state IN ('held', 'committed', 'released')),
    CONSTRAINT reservation_released_by_known CHECK (released_by IN ('request', 'expiry')),
    CONSTRAINT reservation_released_by_when_released CHECK ((state = 'released') = (released_by IS NOT NULL)),
    CONSTRAINT reservation_expires_unless_blocked CHECK (state = 'released' OR expires_at IS NOT NULL)
);

-- Audit: holds past their time. WHERE state = 'held' AND expires_at < $1.
CREATE INDEX reservation_held_idx ON reservation (expires_at) WHERE state = 'held';

-- What was answered when the reservation was made, and how much of it went back since.
CREATE TABLE reservation_item (
    reservation_id uuid   NOT NULL,
    stock_id       bigint NOT NULL,
    sku_id         uuid   NOT NULL,
    quantity       bigint NOT NULL,
    returned       bigint NOT NULL DEFAULT 0,
    serial_ids     text[] NOT NULL, -- the units picked at first; which are still out, `serial.reservation_id` says
    CONSTRAINT reservation_item_pkey PRIMARY KEY (reservation_id, stock_id),
    CONSTRAINT reservation_item_sku_key UNIQUE (reservation_id, sku_id),
    CONSTRAINT reservation_item_reservation_fkey FOREIGN KEY (reservation_id) REFERENCES reservation (id) ON DELETE CASCADE,
    CONSTRAINT reservation_item_stock_fkey FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE RESTRICT,
    CONSTRAINT reservation_item_quantity_positive CHECK (quantity > 0),
    CONSTRAINT reservation_item_returned_in_bounds CHECK (returned BETWEEN 0 AND quantity),
    CONSTRAINT reservation_item_serial_per_unit CHECK (cardinality(serial_ids) IN (0, quantity))
);

-- Audit: what is out of a stock. WHERE stock_id = $1.
CREATE INDEX reservation_item_stock_idx ON reservation_item (stock_id);

-- One physical unit. Two sellers may hold the same text, hence the key.
CREATE TABLE serial (
    stock_id       bigint           NOT NULL,
    id             text COLLATE "C" NOT NULL, -- the serial itself
    status         text             NOT NULL,
    reservation_id uuid,
    date_created   timestamptz      NOT NULL,
    CONSTRAINT serial_pkey PRIMARY KEY (stock_id, id),
    CONSTRAINT serial_stock_fkey FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE RESTRICT,
    CONSTRAINT serial_reservation_fkey FOREIGN KEY (reservation_id) REFERENCES reservation (id) ON DELETE RESTRICT,
    CONSTRAINT serial_id_length CHECK (char_length(id) BETWEEN 1 AND 128),
    CONSTRAINT serial_status_known CHECK (status IN ('Active', 'Inactive', 'Taken', 'Damaged')),
    -- A unit is out exactly while one reservation has it, so it is in at most one live order.
    CONSTRAINT serial_taken_by_a_reservation CHECK ((status = 'Taken') = (reservation_id IS NOT NULL))
);

-- The units to pick, oldest first: WHERE stock_id = $1 AND status = 'Active' ORDER BY date_created, id.
CREATE INDEX serial_active_idx ON serial (stock_id, date_created, id) WHERE status = 'Active';
-- The units a reservation has: WHERE reservation_id = $1.
CREATE INDEX serial_reservation_idx ON serial (reservation_id) WHERE reservation_id IS NOT NULL;
-- A serial by its text, in any stock: WHERE id = ANY($1).
CREATE INDEX serial_id_idx ON serial (id);

-- The movement log: one row per change of a stock, never changed. The counters are sums of it:
-- stock = Σ change, taken = Σ held_change + Σ sold_change; on hand changes only by import and adjust.
CREATE TABLE stock_history (
    id           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    stock_id     bigint      NOT NULL,
    reason       text        NOT NULL,
    change       bigint      NOT NULL, -- of `stock.stock`
    held_change  bigint      NOT NULL,
    sold_change  bigint      NOT NULL,
    stock_after  bigint      NOT NULL,
    reference    text,                 -- the reservation, the invocation of an import, or the serial that was adjusted
    date_created timestamptz NOT NULL,
    CONSTRAINT stock_history_pkey PRIMARY KEY (id),
    CONSTRAINT stock_history_stock_fkey FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE RESTRICT,
    CONSTRAINT stock_history_reason_known CHECK (reason IN ('import', 'reserve', 'release', 'sell', 'adjust')),
    CONSTRAINT stock_history_stock_after_not_negative CHECK (stock_after >= 0),
    -- Only an import and an adjustment bring units in or out; anything else moves them between free, held and sold.
    CONSTRAINT stock_history_units_kept CHECK (reason IN ('import', 'adjust') OR change + held_change + sold_change = 0)
);

-- A stock's history, either way: WHERE stock_id = $1 ORDER BY id.
CREATE INDEX stock_history_stock_idx ON stock_history (stock_id, id);

-- Partial releases that were done, by the operation id of who asked: a repetition finds itself here and changes nothing.
CREATE TABLE release_operation (
    id             uuid        NOT NULL,
    reservation_id uuid        NOT NULL,
    stock_id       bigint      NOT NULL,
    quantity       bigint      NOT NULL,
    serial_ids     text[]      NOT NULL,
    date_created   timestamptz NOT NULL,
    CONSTRAINT release_operation_pkey PRIMARY KEY (id),
    CONSTRAINT release_operation_item_fkey FOREIGN KEY (reservation_id, stock_id)
        REFERENCES reservation_item (reservation_id, stock_id) ON DELETE CASCADE,
    CONSTRAINT release_operation_quantity_positive CHECK (quantity > 0)
);

-- What went back of a reservation: WHERE reservation_id = $1.
CREATE INDEX release_operation_reservation_idx ON release_operation (reservation_id, stock_id);
