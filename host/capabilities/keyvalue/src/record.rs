//! How answers and arguments are recorded: CBOR, read again for years.

use bytes::Bytes;
use host_types::Fault;
use minicbor::{Decode, Encode};

use crate::Page;

/// What is recorded of a read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Read {
    /// Of `get`.
    #[n(0)]
    Value(#[cbor(n(0), with = "minicbor::bytes")] Option<Vec<u8>>),
    /// Of `exists`.
    #[n(1)]
    Exists(#[n(0)] bool),
    /// Of `list-keys`.
    #[n(2)]
    Keys(#[n(0)] Vec<String>, #[n(1)] Option<u64>),
}

impl From<Page> for Read {
    fn from(Page { keys, cursor }: Page) -> Self {
        Self::Keys(keys, cursor)
    }
}

pub(crate) fn encode(read: &Read) -> Bytes {
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(read).expect("a read has an encoding").into()
}

pub(crate) fn decode(recorded: &[u8]) -> Result<Read, Fault> {
    minicbor::decode(recorded).map_err(|error| malformed(&error.to_string()))
}

/// The record holds something else than this command leaves there.
pub(crate) fn malformed(reason: &str) -> Fault {
    Fault::Guest(format!("the record of a key-value operation is malformed: {reason}"))
}

/// The arguments of one operation, so that no two different ones are alike.
pub(crate) fn arguments(parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len() + 8).sum();
    let mut bytes = Vec::with_capacity(length);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_again() {
        for read in [
            Read::Value(None),
            Read::Value(Some(vec![])),
            Read::Value(Some(vec![1, 2, 3])),
            Read::Exists(true),
            Read::Keys(vec!["a".into(), "b".into()], Some(7)),
            Read::Keys(vec![], None),
        ] {
            assert_eq!(decode(&encode(&read)), Ok(read));
        }
        assert!(decode(b"\xff").is_err());
    }

    #[test]
    fn the_stored_form_stays_as_it_is() {
        assert_eq!(
            encode(&Read::Value(Some(vec![1, 2]))).as_ref(),
            [0x82, 0x00, 0x81, 0x42, 1, 2]
        );
        assert_eq!(encode(&Read::Exists(true)).as_ref(), [0x82, 0x01, 0x81, 0xf5]);
        assert_eq!(
            encode(&Read::Keys(vec!["a".into()], Some(7))).as_ref(),
            [0x82, 0x02, 0x82, 0x81, 0x61, b'a', 7]
        );
    }

    #[test]
    fn arguments_do_not_run_into_each_other() {
        assert_ne!(arguments(&[b"ab", b"c"]), arguments(&[b"a", b"bc"]));
    }
}
