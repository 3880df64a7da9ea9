//! nexus:sql: the module's own schema, journaled with its commit
