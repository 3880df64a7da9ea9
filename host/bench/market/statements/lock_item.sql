SELECT available FROM item WHERE id = $1 FOR UPDATE
