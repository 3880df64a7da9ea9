//! Benchmarks against native code
