UPDATE buyer SET spent_amount = spent_amount + $2 WHERE id = $1
