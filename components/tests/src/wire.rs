//! As much of PostgreSQL's wire protocol as it takes to see a commit in what a client sends, and its answer in what comes back.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use bytes::{Buf, Bytes, BytesMut};

/// Who commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// `COMMIT` of an open transaction: a module's business rows with their entries.
    Transaction,
    /// A statement of the host's that appends entries by itself and commits with its `Sync`: group writer and fences.
    Journal,
}

/// The functions that write to the journal outside of a transaction.
const JOURNAL: [&[u8]; 2] = [b"host.append_batch(", b"host.fence_batch("];
/// Nothing a test sends or receives is larger.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Cuts a stream of bytes into messages.
#[derive(Default)]
pub(crate) struct Messages {
    buffer: BytesMut,
}

impl Messages {
    /// Where to read to.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message when it is there whole, from its type on.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>> {
        self.take(1)
    }

    /// The next message of those that begin a connection and have no type.
    pub(crate) fn next_untyped(&mut self) -> Result<Option<Bytes>> {
        self.take(0)
    }

    fn take(&mut self, type_bytes: usize) -> Result<Option<Bytes>> {
        let Some(mut head) = self.buffer.get(type_bytes..type_bytes + 4) else {
            return Ok(None);
        };
        let length = type_bytes + head.get_u32() as usize;
        ensure!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes");
        Ok((self.buffer.len() >= length).then(|| self.buffer.split_to(length).freeze()))
    }
}

/// What a client has prepared and bound so far.
#[derive(Default)]
pub(crate) struct Requests {
    /// Prepared statements that write to the journal.
    journal: HashSet<Bytes>,
    /// One of them was bound since the last `Sync`.
    writes: bool,
}

/// What a message of a client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// The server will say that it is ready again.
    pub(crate) is_answered: bool,
    /// With it something commits.
    pub(crate) commit: Option<Commit>,
}

impl Requests {
    /// Takes note of a message.
    pub(crate) fn read(&mut self, message: &Bytes) -> Request {
        let mut strings = message.slice(5.min(message.len())..);
        let mut next = || {
            let end = strings.iter().position(|byte| *byte == 0).unwrap_or(strings.len());
            let string = strings.split_to(end);
            strings.advance(strings.len().min(1));
            string
        };
        let mut request = Request {
            is_answered: false,
            commit: None,
        };
        match message[0] {
            b'P' => {
                let (name, text) = (next(), next());
                let writes = JOURNAL
                    .iter()
                    .any(|call| text.windows(call.len()).any(|it| it == *call));
                if writes {
                    self.journal.insert(name);
                } else {
                    self.journal.remove(&name);
                }
            }
            b'B' => {
                let (_portal, statement) = (next(), next());
                self.writes |= self.journal.contains(&statement);
            }
            b'S' => {
                request.is_answered = true;
                request.commit = std::mem::take(&mut self.writes).then_some(Commit::Journal);
            }
            b'Q' => {
                request.is_answered = true;
                request.commit = (next() == "COMMIT").then_some(Commit::Transaction);
            }
            _ => {}
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Bytes {
        let mut message = vec![kind];
        message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        message.into()
    }

    #[test]
    fn messages_are_cut_where_they_end() {
        let (one, two) = (message(b'Q', b"COMMIT\0"), message(b'S', b""));
        let mut messages = Messages::default();
        for byte in one.iter().chain(&two) {
            assert_eq!(messages.next().unwrap(), None);
            messages.buffer().extend_from_slice(&[*byte]);
            if messages.buffer().len() == one.len() {
                assert_eq!(messages.next().unwrap(), Some(one.clone()));
            }
        }
        assert_eq!(messages.next().unwrap(), Some(two));
    }

    #[test]
    fn a_commit_is_a_word_or_the_sync_behind_an_append() {
        let mut requests = Requests::default();
        let mut commits = |kind, body: &[u8]| requests.read(&message(kind, body)).commit;
        assert_eq!(commits(b'Q', b"COMMIT\0"), Some(Commit::Transaction));
        assert_eq!(commits(b'Q', b"ROLLBACK\0"), None);
        assert_eq!(commits(b'P', b"s1\0SELECT lost FROM host.append_batch($1)\0\0\0"), None);
        assert_eq!(commits(b'S', b""), None, "prepared, not bound");
        assert_eq!(commits(b'B', b"\0s1\0"), None);
        assert_eq!(commits(b'E', b"\0"), None);
        assert_eq!(commits(b'S', b""), Some(Commit::Journal));
        assert_eq!(commits(b'P', b"s2\0SELECT 1\0\0\0"), None);
        assert_eq!(commits(b'B', b"\0s2\0"), None);
        assert_eq!(commits(b'S', b""), None);
    }
}
