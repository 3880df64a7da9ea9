//! Tests of the host through its public interface
