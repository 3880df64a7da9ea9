//! Accounts, credentials, profiles and contacts
