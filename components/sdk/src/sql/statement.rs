//! [`sql!`](super::sql): statements that the built component tells of itself, so that `nexus check` can prepare them.
//!
//! `wit/README.md` describes the section. It is not loaded with the component: it costs bytes of the file, and no memory and no time.

/// Of the records that this module writes.
const VERSION: u8 = 1;

/// A statement, put together from constant texts when it is compiled.
///
/// It is what its parts are in a row: `&'static str`. In a component it also leaves its text and its place in the source behind, for
/// `nexus check` and `nexus deploy`, which prepare it against the schema before anything runs it.
///
/// ```
/// use sdk::sql::sql;
///
/// const COLUMNS: &str = "id, name";
/// assert_eq!(sql!("SELECT ", COLUMNS, " FROM item WHERE id = $1"), "SELECT id, name FROM item WHERE id = $1");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __sql {
    ($($part:expr),+ $(,)?) => {{
        // Names that no part has: these constants are in its scope.
        const __PARTS: &[&str] = &[$($part),+];
        const __BYTES: [u8; $crate::sql::statement::length(__PARTS)] = $crate::sql::statement::joined(__PARTS);
        const __TEXT: &str = $crate::sql::statement::text(&__BYTES);
        // Without `#[used]`: sections of this kind are kept anyway, and with it the bytes would be data of the program, too.
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the section is read by nobody who runs the component")]
        #[unsafe(link_section = "nexus:sql")]
        static __RECORD: [u8; $crate::sql::statement::record_length(file!(), __TEXT)] =
            $crate::sql::statement::record(file!(), line!(), __TEXT);
        __TEXT
    }};
}

/// How long the parts are in a row, bytes.
pub const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

/// The parts in a row.
pub const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let (mut bytes, mut at, mut part) = ([0; LENGTH], 0, 0);
    while part < parts.len() {
        at = put(&mut bytes, at, parts[part].as_bytes());
        part += 1;
    }
    bytes
}

/// What was joined, as the text it is.
pub const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("texts in a row are text"),
    }
}

/// Version, length of the rest, line, length of the file's name.
const HEADER: usize = 1 + 4 + 4 + 4;

/// How long the record of a statement is, bytes.
pub const fn record_length(file: &str, text: &str) -> usize {
    HEADER + file.len() + text.len()
}

/// The record of a statement.
pub const fn record<const LENGTH: usize>(file: &str, line: u32, text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    let mut at = put(&mut bytes, 1, &((LENGTH - 5) as u32).to_le_bytes());
    at = put(&mut bytes, at, &line.to_le_bytes());
    at = put(&mut bytes, at, &(file.len() as u32).to_le_bytes());
    at = put(&mut bytes, at, file.as_bytes());
    put(&mut bytes, at, text.as_bytes());
    bytes
}

/// Returns where it ends.
const fn put(bytes: &mut [u8], at: usize, part: &[u8]) -> usize {
    let mut index = 0;
    while index < part.len() {
        bytes[at + index] = part[index];
        index += 1;
    }
    at + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::sql;

    const COLUMNS: &str = "id, größe";

    #[test]
    fn parts_are_joined_when_they_are_compiled() {
        const STATEMENT: &str = sql!("SELECT ", COLUMNS, " FROM item", concat!(" WHERE id", " = $1"));
        assert_eq!(STATEMENT, "SELECT id, größe FROM item WHERE id = $1");
        assert_eq!(sql!("SELECT 1"), "SELECT 1");
        assert_eq!(sql!("SELECT", " 1",), "SELECT 1");
    }

    #[test]
    fn a_record_holds_place_and_text() {
        const RECORD: [u8; record_length("a.rs", "SELECT 1")] = record("a.rs", 258, "SELECT 1");
        assert_eq!(RECORD, *b"\x01\x14\0\0\0\x02\x01\0\0\x04\0\0\0a.rsSELECT 1");
    }
}
