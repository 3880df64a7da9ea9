//! The operators' HTTP: components, invocations, journals, health
