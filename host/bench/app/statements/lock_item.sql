SELECT price, stock FROM item WHERE id = $1 FOR UPDATE
