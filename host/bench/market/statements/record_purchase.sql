INSERT INTO purchase (buyer_id, reservation_id, amount, receipt) VALUES ($1, $2, $3, $4) RETURNING id
