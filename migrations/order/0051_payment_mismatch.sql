-- A gateway may report another amount than it was asked for: it is kept, and settles nothing.
ALTER TABLE "order".payment_event DROP CONSTRAINT payment_event_outcome_known;

ALTER TABLE "order".payment_event ADD CONSTRAINT payment_event_outcome_known
    CHECK (outcome IN ('pending', 'succeeded', 'failed', 'expired', 'mismatch'));
