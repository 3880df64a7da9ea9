INSERT INTO reservation (item_id, quantity) VALUES ($1, $2) RETURNING id
