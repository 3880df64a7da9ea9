//! A request becomes an invocation and its output a response
