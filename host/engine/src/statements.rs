//! The SQL statements that a component tells of itself. `wit/README.md` describes the sections they lie in.
//!
//! A component is anybody's bytes: whatever does not fit is an error that says where, and there is a bound on how many there may be.

use wasmparser::{Parser, Payload};

use crate::Error;

/// The name of the sections.
pub(crate) const SECTION: &str = "nexus:sql";

/// Of the records that are read here.
const VERSION: u8 = 1;

/// How many statements one component may tell of: who reads them has something to do for each.
pub const MAX_STATEMENTS: usize = 10_000;

/// A statement of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The file of the source it stands in, as the compiler was given it.
    pub file: String,
    /// The line there, from 1.
    pub line: u32,
    /// The statement.
    pub text: String,
}

/// The statements that these bytes tell of, in their order; one that stands in several places is there several times.
pub fn statements(wasm: &[u8]) -> Result<Vec<Statement>, Error> {
    let mut statements = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| Error::Statements {
            offset: error.offset(),
            reason: format!("the bytes are no component: {}", error.message()),
        })?;
        if let Payload::CustomSection(section) = payload
            && section.name() == SECTION
        {
            let mut records = Records {
                rest: section.data(),
                offset: section.data_offset(),
            };
            while !records.rest.is_empty() {
                if statements.len() == MAX_STATEMENTS {
                    return Err(records.wrong(format!("a component tells of at most {MAX_STATEMENTS} statements")));
                }
                statements.push(records.next()?);
            }
        }
    }
    Ok(statements)
}

/// What of a section, or of a record, is not read yet.
struct Records<'a> {
    rest: &'a [u8],
    /// Where that begins in the component.
    offset: usize,
}

impl<'a> Records<'a> {
    fn next(&mut self) -> Result<Statement, Error> {
        let offset = self.offset;
        let [version] = self.array()?;
        if version != VERSION {
            let reason = format!(
                "a record of version {version}, and this host reads version {VERSION}: build the component with the SDK of this host"
            );
            return Err(Error::Statements { offset, reason });
        }
        let length = self.number()?;
        let mut record = Records {
            offset: self.offset,
            rest: self.take(length)?,
        };
        let line = record.number()?;
        let length = record.number()?;
        let file = record.text(length)?;
        if file.contains(char::is_control) {
            return Err(Error::Statements {
                offset,
                reason: "the name of a file has control characters".to_owned(),
            });
        }
        let text = record.text(record.rest.len() as u32)?;
        Ok(Statement { file, line, text })
    }

    fn text(&mut self, length: u32) -> Result<String, Error> {
        let offset = self.offset;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Statements {
            offset: offset + error.valid_up_to(),
            reason: "what should be text is not UTF-8".to_owned(),
        })?;
        Ok(text.to_owned())
    }

    fn number(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Error> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                (self.rest, self.offset) = (rest, self.offset + LENGTH);
                Ok(*array)
            }
            None => Err(self.short(LENGTH)),
        }
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Error> {
        let length = length as usize;
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                (self.rest, self.offset) = (rest, self.offset + length);
                Ok(taken)
            }
            None => Err(self.short(length)),
        }
    }

    fn short(&self, wanted: usize) -> Error {
        self.wrong(format!(
            "a record is cut off: {wanted} bytes should follow, there are {}",
            self.rest.len()
        ))
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Statements {
            offset: self.offset,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(file: &[u8], line: u32, text: &[u8]) -> Vec<u8> {
        let length = (8 + file.len() + text.len()) as u32;
        let numbers = [length, line, file.len() as u32].map(u32::to_le_bytes).concat();
        [&[VERSION], &numbers[..], file, text].concat()
    }

    /// A component with a core module in it for each of these sections.
    fn component(sections: &[Vec<u8>]) -> Vec<u8> {
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        let modules: String = sections
            .iter()
            .map(|section| format!("(core module (@custom \"nexus:sql\" \"{}\"))", escaped(section)))
            .collect();
        wat::parse_str(format!("(component {modules} (@custom \"other\" \"x\"))")).expect("valid text")
    }

    fn reason(section: Vec<u8>) -> String {
        statements(&component(&[section])).expect_err("refused").to_string()
    }

    #[test]
    fn the_records_of_all_modules_are_read_in_their_order() {
        let first = [record(b"src/a.rs", 7, b"SELECT 1"), record(b"src/a.rs", 9, b"")].concat();
        let second = record(b"b.rs", 300, "SELECT 'ä'".as_bytes());
        let read = statements(&component(&[first, Vec::new(), second])).expect("well-formed");
        let read: Vec<_> = read
            .iter()
            .map(|Statement { file, line, text }| (file.as_str(), *line, text.as_str()))
            .collect();
        assert_eq!(
            read,
            [
                ("src/a.rs", 7, "SELECT 1"),
                ("src/a.rs", 9, ""),
                ("b.rs", 300, "SELECT 'ä'")
            ]
        );
    }

    #[test]
    fn a_component_without_the_section_tells_of_none() {
        assert_eq!(statements(&component(&[])).expect("well-formed"), []);
        assert!(statements(b"\0asm, or not").is_err());
        assert!(statements(b"").is_err());
    }

    #[test]
    fn a_record_that_is_cut_off_anywhere_is_refused() {
        let whole = record(b"a.rs", 1, b"SELECT 1");
        for end in 1..whole.len() {
            let reason = reason(whole[..end].to_vec());
            assert!(reason.contains("a record is cut off"), "{end}: {reason}");
        }
    }

    #[test]
    fn lengths_that_reach_beyond_their_record_are_refused() {
        let mut long = record(b"a.rs", 1, b"SELECT 1");
        long[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(reason(long).contains("4294967295 bytes should follow, there are 20"));
        // The file's name would take a part of the next record.
        let mut first = record(b"a.rs", 1, b"");
        first[9..13].copy_from_slice(&5u32.to_le_bytes());
        let both = [first, record(b"b.rs", 1, b"")].concat();
        assert!(reason(both).contains("5 bytes should follow, there are 4"));
        // Too short for its own numbers.
        let short = [&[VERSION][..], &3u32.to_le_bytes(), b"abc"].concat();
        assert!(reason(short).contains("4 bytes should follow, there are 3"));
    }

    #[test]
    fn garbage_is_refused_with_its_place() {
        assert!(reason(b"garbage".to_vec()).contains("a record of version 103, and this host reads version 1"));
        assert!(reason(record(b"a\xff", 1, b"SELECT 1")).contains("not UTF-8"));
        assert!(reason(record(b"a.rs", 1, b"SELECT '\xff'")).contains("not UTF-8"));
        assert!(reason(record(b"\x1b[2J", 1, b"SELECT 1")).contains("control characters"));
        let wasm = component(&[b"garbage".to_vec()]);
        let at = wasm
            .windows(7)
            .position(|window| window == b"garbage")
            .expect("it is there");
        let reason = statements(&wasm).expect_err("refused").to_string();
        assert!(
            reason.starts_with(&format!("section nexus:sql at byte {at} of")),
            "{reason}"
        );
    }

    #[test]
    fn there_is_a_bound_on_how_many_there_are() {
        let many = |count| record(b"a", 1, b"").repeat(count);
        let most = statements(&component(&[many(MAX_STATEMENTS)])).expect("as many as may be");
        assert_eq!(most.len(), MAX_STATEMENTS);
        assert!(reason(many(MAX_STATEMENTS + 1)).contains("at most 10000 statements"));
    }
}
