//! A host for tests: clock, database, applications
