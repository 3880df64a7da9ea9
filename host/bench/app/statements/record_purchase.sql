INSERT INTO purchase (item_id, quantity, amount) VALUES ($1, $2, $3) RETURNING id
