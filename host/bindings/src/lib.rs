//! The one bindgen over wit/
