SELECT name, price, stock FROM item WHERE id = $1
