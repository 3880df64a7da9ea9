UPDATE item SET available = $2 WHERE id = $1
