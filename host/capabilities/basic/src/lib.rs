//! The light capabilities: durable, config, crypto, log, clocks and randomness
