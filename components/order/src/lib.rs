//! Cart, checkout, confirmation and orders
