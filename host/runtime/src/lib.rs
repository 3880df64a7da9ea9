//! From an application and a component to a running instance
