-- What its carrier calls a parcel; null until it has booked it.
ALTER TABLE "order".transport ADD COLUMN tracking_code text;

-- A carrier calls no two parcels the same.
CREATE UNIQUE INDEX transport_tracking_code_key ON "order".transport (provider, tracking_code);
