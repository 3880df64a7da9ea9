//! Stock, reservations, serials and the movement log
