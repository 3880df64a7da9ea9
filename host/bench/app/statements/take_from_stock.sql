UPDATE item SET stock = $2 WHERE id = $1
