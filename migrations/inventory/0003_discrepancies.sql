-- Stocks whose counters are not what the movement log and the units say: none, ever. For whoever watches over the books to select from; a whole
-- look reads the log once.
CREATE VIEW discrepancy AS
SELECT s.id AS stock_id, s.stock, s.taken, h.stock AS stock_by_log, h.taken AS taken_by_log, u.active AS active_serials, o.taken AS taken_by_reservations
FROM stock s
LEFT JOIN (SELECT stock_id, sum(change) AS stock, sum(held_change) + sum(sold_change) AS taken FROM stock_history GROUP BY stock_id) h
    ON h.stock_id = s.id
LEFT JOIN (SELECT stock_id, count(*) AS active FROM serial WHERE status = 'Active' GROUP BY stock_id) u ON u.stock_id = s.id
LEFT JOIN (SELECT i.stock_id, sum(i.quantity - i.returned) AS taken FROM reservation_item i JOIN reservation r ON r.id = i.reservation_id
           WHERE r.state <> 'released' GROUP BY i.stock_id) o ON o.stock_id = s.id
WHERE s.stock <> coalesce(h.stock, 0) OR s.taken <> coalesce(h.taken, 0) OR s.taken <> coalesce(o.taken, 0)
    OR (s.serial_required AND s.stock <> coalesce(u.active, 0));
