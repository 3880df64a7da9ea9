//! An entry as stored bytes. Metadata stays clear (operators look at it, takeover reads it), payloads are sealed.
//!
//! An entry is a CBOR array `[format, kind, …fields]`, positional. Format 1 is written; it is read for ever, and later ones
//! are added beside it. Payloads of at least [`COMPRESS_FROM`] bytes are compressed before they are sealed.

use bytes::Bytes;
use host_types::{ComponentId, DeploymentNumber, NodeId, Position};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use uuid::Uuid;

use crate::entry::MAX_INVOCATION_BYTES;
use crate::{ArgumentHash, Body, Cause, CommandKind, Entry, FenceReason, Header, Payload, Seed};

/// Makes payloads unreadable to whoever has only the database. One per invocation.
pub trait Seal: Send + Sync {
    /// Seals the payload of the entry of this index.
    fn seal(&self, index: u32, payload: &[u8]) -> Vec<u8>;

    /// Opens what [`Seal::seal`] made, for the same index.
    fn open(&self, index: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// A payload that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Its key was dropped on purpose.
    #[error("the payload was erased")]
    Erased,
    /// Changed bytes, another entry's bytes, or a key that is not here.
    #[error("the payload cannot be opened: {0}")]
    Unreadable(String),
}

/// Bytes that are not an entry.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not the CBOR expected.
    #[error("entry {index} is malformed: {reason}")]
    Malformed {
        /// Which.
        index: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a later version of this program.
    #[error("entry {index} has format {format}, this host reads formats up to {FORMAT}")]
    UnknownFormat {
        /// Which.
        index: u32,
        /// Its format.
        format: u32,
    },
    /// The payload is sealed and stays so.
    #[error("entry {index}: {source}")]
    Sealed {
        /// Which.
        index: u32,
        /// Why.
        #[source]
        source: SealError,
    },
}

const FORMAT: u32 = 1;

/// Results above this are compressed.
const COMPRESS_FROM: usize = 4 << 10;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

mod kind {
    pub(super) const STARTED: u8 = 0;
    pub(super) const FENCE: u8 = 1;
    pub(super) const COMMAND: u8 = 2;
    pub(super) const COMPLETION: u8 = 3;
    pub(super) const OUTPUT: u8 = 4;
}

/// The entry as stored.
pub fn encode(entry: &Entry, seal: &dyn Seal) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(128));
    // Writing to a vector cannot fail, and minicbor has no infallible interface.
    write(&mut encoder, entry, seal).unwrap_or_else(|error| match error.is_write() {
        true => unreachable!("writing to a vector failed"),
        false => unreachable!("an entry always has an encoding: {error}"),
    });
    encoder.into_writer()
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(e: &mut Encoder<Vec<u8>>, entry: &Entry, seal: &dyn Seal) -> Written {
    let index = entry.index;
    let sealed = |payload: &[u8]| seal.seal(index, &pack(payload));
    match &entry.body {
        Body::Started(header) => {
            e.array(9)?.u32(FORMAT)?.u8(kind::STARTED)?;
            e.str(header.component.as_str())?
                .str(&header.function)?
                .i64(header.deployment.0)?;
            e.u64(header.memory_limit_bytes)?
                .u64(header.started_ms)?
                .str(&header.trace_parent)?;
            let mut secret = Encoder::new(Vec::with_capacity(header.input.len() + 128));
            // The last two stand there only where one of them says something.
            let has_more = header.workflow.is_some() || header.deadline_ms.is_some();
            secret
                .array(if has_more { 5 } else { 3 })?
                .bytes(&header.seed.to_bytes())?
                .str(&header.subject)?
                .bytes(&header.input)?;
            if has_more {
                secret.encode(&header.workflow)?.encode(header.deadline_ms)?;
            }
            e.bytes(&sealed(secret.writer()))?;
        }
        Body::Fence { attempt, node, reason } => {
            e.array(6)?
                .u32(FORMAT)?
                .u8(kind::FENCE)?
                .u32(*attempt)?
                .bytes(node.0.as_bytes())?;
            // A reason's text has the place of a cause's, so that all fences have one form.
            let of_cause = |cause: &'_ Cause| (cause.position.clone(), cause.text.clone(), cause.trap);
            let (code, cause) = match reason {
                FenceReason::TakeOver => (0, None),
                FenceReason::Retry(cause) => (1, Some(of_cause(cause))),
                FenceReason::Pause(cause) => (2, Some(of_cause(cause))),
                FenceReason::Resume => (3, None),
                FenceReason::Cancel(text) => (4, Some((None, text.clone(), false))),
                FenceReason::Answer { position, text } => (5, Some((Some(position.clone()), text.clone(), false))),
                FenceReason::Suspend => (10, None),
                FenceReason::Wake => (11, None),
            };
            e.u8(code)?;
            match cause {
                None => e.null()?.ok(),
                Some((position, text, trap)) => e.array(3)?.encode(&position)?.str(&text)?.bool(trap)?.ok(),
            }?;
        }
        Body::Command {
            position,
            kind,
            target,
            arguments,
            answer,
        } => {
            e.array(7)?
                .u32(FORMAT)?
                .u8(kind::COMMAND)?
                .encode(position)?
                .u8(command_code(*kind))?
                .str(target)?;
            e.bytes(&arguments.0)?;
            match answer {
                None => e.null()?,
                Some(answer) => e.bytes(&sealed(answer))?,
            };
        }
        Body::Completion { position, answer } => {
            e.array(4)?
                .u32(FORMAT)?
                .u8(kind::COMPLETION)?
                .encode(position)?
                .bytes(&sealed(answer))?;
        }
        Body::Output(output) => {
            e.array(3)?.u32(FORMAT)?.u8(kind::OUTPUT)?.bytes(&sealed(output))?;
        }
    }
    Ok(())
}

/// The entry of this index from its stored bytes. Any bytes are an entry or an error.
pub fn decode(index: u32, body: &[u8], seal: &dyn Seal) -> Result<Entry, DecodeError> {
    let malformed = |error: minicbor::decode::Error| DecodeError::Malformed {
        index,
        reason: error.to_string(),
    };
    let reject = |reason: &str| DecodeError::Malformed {
        index,
        reason: reason.to_owned(),
    };
    let open = |sealed: &[u8]| {
        let packed = seal
            .open(index, sealed)
            .map_err(|source| DecodeError::Sealed { index, source })?;
        unpack(packed).ok_or_else(|| reject("payload"))
    };
    let mut d = Decoder::new(body);
    let length = d.array().map_err(malformed)?.ok_or_else(|| reject("length"))?;
    let format = d.u32().map_err(malformed)?;
    if format != FORMAT {
        return Err(DecodeError::UnknownFormat { index, format });
    }
    let kind = d.u8().map_err(malformed)?;
    let expect = |expected: u64| {
        if length == expected {
            Ok(())
        } else {
            Err(reject("number of fields"))
        }
    };
    let body = match kind {
        kind::STARTED => {
            expect(9)?;
            let component = ComponentId::from(d.str().map_err(malformed)?);
            let function = d.str().map_err(malformed)?.to_owned();
            let deployment = DeploymentNumber(d.i64().map_err(malformed)?);
            let memory_limit_bytes = d.u64().map_err(malformed)?;
            let started_ms = d.u64().map_err(malformed)?;
            let trace_parent = d.str().map_err(malformed)?.to_owned();
            let secret = open(d.bytes().map_err(malformed)?)?;
            let mut s = Decoder::new(&secret);
            let has_more = match s.array().map_err(malformed)? {
                Some(3) => false,
                Some(5) => true,
                _ => return Err(reject("header")),
            };
            let seed: [u8; 32] = s.bytes().map_err(malformed)?.try_into().map_err(|_| reject("seed"))?;
            let subject = s.str().map_err(malformed)?.to_owned();
            let input = Bytes::copy_from_slice(s.bytes().map_err(malformed)?);
            let (workflow, deadline_ms) = match has_more {
                true => (s.decode().map_err(malformed)?, s.decode().map_err(malformed)?),
                false => (None, None),
            };
            Body::Started(Box::new(Header {
                component,
                function,
                deployment,
                input,
                seed: Seed::new(seed),
                subject,
                trace_parent,
                memory_limit_bytes,
                started_ms,
                workflow,
                deadline_ms,
            }))
        }
        kind::FENCE => {
            expect(6)?;
            let attempt = d.u32().map_err(malformed)?;
            let node = d.bytes().map_err(malformed)?;
            let node = NodeId(Uuid::from_slice(node).map_err(|_| reject("node"))?);
            let code = d.u8().map_err(malformed)?;
            let cause = if d.datatype().map_err(malformed)? == Type::Null {
                None
            } else {
                if d.array().map_err(malformed)? != Some(3) {
                    return Err(reject("cause"));
                }
                let position: Option<Position> = d.decode().map_err(malformed)?;
                let text = d.str().map_err(malformed)?.to_owned();
                Some(Cause {
                    position,
                    text,
                    trap: d.bool().map_err(malformed)?,
                })
            };
            let reason = match (code, cause) {
                (0, None) => FenceReason::TakeOver,
                (1, Some(cause)) => FenceReason::Retry(cause),
                (2, Some(cause)) => FenceReason::Pause(cause),
                (3, None) => FenceReason::Resume,
                (
                    4,
                    Some(Cause {
                        position: None,
                        text,
                        trap: false,
                    }),
                ) => FenceReason::Cancel(text),
                (
                    5,
                    Some(Cause {
                        position: Some(position),
                        text,
                        trap: false,
                    }),
                ) => FenceReason::Answer { position, text },
                (10, None) => FenceReason::Suspend,
                (11, None) => FenceReason::Wake,
                _ => return Err(reject("fence reason")),
            };
            Body::Fence { attempt, node, reason }
        }
        kind::COMMAND => {
            expect(7)?;
            let position = d.decode().map_err(malformed)?;
            let kind = command_kind(d.u8().map_err(malformed)?).ok_or_else(|| reject("command kind"))?;
            let target = d.str().map_err(malformed)?.to_owned();
            let arguments = d
                .bytes()
                .map_err(malformed)?
                .try_into()
                .map_err(|_| reject("argument hash"))?;
            let answer = match d.datatype().map_err(malformed)? {
                Type::Null => None,
                _ => Some(open(d.bytes().map_err(malformed)?)?),
            };
            Body::Command {
                position,
                kind,
                target,
                arguments: ArgumentHash(arguments),
                answer,
            }
        }
        kind::COMPLETION => {
            expect(4)?;
            let position = d.decode().map_err(malformed)?;
            Body::Completion {
                position,
                answer: open(d.bytes().map_err(malformed)?)?,
            }
        }
        kind::OUTPUT => {
            expect(3)?;
            Body::Output(open(d.bytes().map_err(malformed)?)?)
        }
        _ => return Err(reject("kind")),
    };
    Ok(Entry { index, body })
}

fn pack(payload: &[u8]) -> Vec<u8> {
    if payload.len() >= COMPRESS_FROM {
        let compressed = lz4_flex::compress_prepend_size(payload);
        if compressed.len() < payload.len() {
            return std::iter::once(LZ4).chain(compressed).collect();
        }
    }
    let mut packed = Vec::with_capacity(payload.len() + 1);
    packed.push(PLAIN);
    packed.extend_from_slice(payload);
    packed
}

fn unpack(packed: Vec<u8>) -> Option<Payload> {
    let packed = Bytes::from(packed);
    match *packed.first()? {
        PLAIN => Some(packed.slice(1..)),
        LZ4 => {
            // The size stands in front of the compressed bytes: never allocate more than an invocation may hold.
            let size = u32::from_le_bytes(packed.get(1..5)?.try_into().ok()?) as usize;
            if size > MAX_INVOCATION_BYTES {
                return None;
            }
            lz4_flex::decompress_size_prepended(&packed[1..]).ok().map(Bytes::from)
        }
        _ => None,
    }
}

const fn command_code(kind: CommandKind) -> u8 {
    match kind {
        CommandKind::Observation => 0,
        CommandKind::Transaction => 1,
        CommandKind::Call => 2,
        CommandKind::External => 3,
        CommandKind::Message => 4,
        CommandKind::Wait => 5,
    }
}

const fn command_kind(code: u8) -> Option<CommandKind> {
    Some(match code {
        0 => CommandKind::Observation,
        1 => CommandKind::Transaction,
        2 => CommandKind::Call,
        3 => CommandKind::External,
        4 => CommandKind::Message,
        5 => CommandKind::Wait,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use host_types::Scope;
    use proptest::prelude::*;

    use super::*;

    /// Marks instead of encrypting: the store's tests cover the cipher.
    struct Marked;

    impl Seal for Marked {
        fn seal(&self, index: u32, payload: &[u8]) -> Vec<u8> {
            [&index.to_be_bytes(), payload].concat()
        }

        fn open(&self, index: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
            match sealed.split_at_checked(4) {
                Some((mark, payload)) if mark == index.to_be_bytes() => Ok(payload.to_vec()),
                _ => Err(SealError::Unreadable("another entry's".into())),
            }
        }
    }

    fn position() -> Position {
        Position {
            scope: Scope::root().child(4).child(0),
            number: 9,
        }
    }

    fn entries() -> Vec<Entry> {
        let node = NodeId::new(1, [3; 10]);
        let cause = Cause {
            position: Some(position()),
            text: "boom".into(),
            trap: true,
        };
        let bodies = vec![
            Body::Started(Box::new(Header {
                component: ComponentId::from("order"),
                function: "nexus:http/handler.handle".into(),
                deployment: DeploymentNumber(7),
                input: Payload::from_static(b"secret input"),
                seed: Seed::new([9; 32]),
                subject: "someone".into(),
                trace_parent: String::new(),
                memory_limit_bytes: 64 << 20,
                started_ms: 1_700_000_000_000,
                workflow: None,
                deadline_ms: None,
            })),
            Body::Fence {
                attempt: 1,
                node,
                reason: FenceReason::TakeOver,
            },
            Body::Fence {
                attempt: 2,
                node,
                reason: FenceReason::Retry(cause.clone()),
            },
            Body::Fence {
                attempt: 2,
                node,
                reason: FenceReason::Pause(Cause {
                    position: None,
                    ..cause
                }),
            },
            Body::Fence {
                attempt: 3,
                node,
                reason: FenceReason::Resume,
            },
            Body::Fence {
                attempt: 3,
                node,
                reason: FenceReason::Suspend,
            },
            Body::Fence {
                attempt: 4,
                node,
                reason: FenceReason::Wake,
            },
            Body::Command {
                position: position(),
                kind: CommandKind::External,
                target: "http.post".into(),
                arguments: ArgumentHash([5; 16]),
                answer: None,
            },
            Body::Completion {
                position: position(),
                answer: Payload::from(vec![7; 10_000]),
            },
            Body::Output(Payload::from_static(b"")),
            Body::Fence {
                attempt: 4,
                node,
                reason: FenceReason::Cancel("the buyer called".into()),
            },
            Body::Fence {
                attempt: 5,
                node,
                reason: FenceReason::Answer {
                    position: position(),
                    text: "looked it up".into(),
                },
            },
        ];
        bodies
            .into_iter()
            .enumerate()
            .map(|(index, body)| Entry {
                index: index as u32,
                body,
            })
            .collect()
    }

    #[test]
    fn every_entry_survives_its_bytes() {
        for entry in entries() {
            assert_eq!(decode(entry.index, &encode(&entry, &Marked), &Marked), Ok(entry));
        }
    }

    #[test]
    fn a_start_says_more_where_there_is_more_to_say() {
        let plain = &entries()[0];
        let Body::Started(header) = &plain.body else {
            panic!("the first entry is the start");
        };
        let longer = [
            (Some("cart-7".to_owned()), None),
            (None, Some(1_700_000_060_000)),
            (Some(String::new()), Some(0)),
        ];
        for (workflow, deadline_ms) in longer {
            let header = Header {
                workflow,
                deadline_ms,
                ..Header::clone(header)
            };
            let entry = Entry {
                index: 0,
                body: Body::Started(Box::new(header)),
            };
            let body = encode(&entry, &Marked);
            assert!(body.len() > encode(plain, &Marked).len());
            assert_eq!(decode(0, &body, &Marked), Ok(entry));
        }
    }

    #[test]
    fn a_long_payload_is_compressed() {
        let long = Entry {
            index: 0,
            body: Body::Output(Payload::from(vec![7; 100_000])),
        };
        assert!(encode(&long, &Marked).len() < 2_000);
    }

    #[test]
    fn an_entry_moved_to_another_index_is_refused() {
        let output = Entry {
            index: 3,
            body: Body::Output(Payload::from_static(b"out")),
        };
        assert!(matches!(
            decode(4, &encode(&output, &Marked), &Marked),
            Err(DecodeError::Sealed { index: 4, .. })
        ));
    }

    #[test]
    fn a_reason_for_a_fence_of_a_later_version_is_an_error() {
        let is_cancel = |entry: &Entry| {
            let Body::Fence { reason, .. } = &entry.body else {
                return false;
            };
            matches!(reason, FenceReason::Cancel(_))
        };
        let cancel = entries().into_iter().find(is_cancel).expect("one was cancelled");
        let mut body = encode(&cancel, &Marked);
        // The code stands before the array of the cause.
        let code = body.iter().rposition(|byte| *byte == 0x83).expect("an array of three") - 1;
        assert_eq!(body[code], 4);
        body[code] = 6;
        assert!(matches!(
            decode(cancel.index, &body, &Marked),
            Err(DecodeError::Malformed { .. })
        ));
    }

    #[test]
    fn a_later_format_is_named() {
        let mut body = encode(&entries()[1], &Marked);
        body[1] = 2;
        assert_eq!(
            decode(0, &body, &Marked),
            Err(DecodeError::UnknownFormat { index: 0, format: 2 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes: Vec<u8>) {
            let _ = decode(0, &bytes, &Marked);
        }

        #[test]
        fn any_change_to_an_entry_is_an_entry_or_an_error(which in 0..10usize, at: usize, bit in 0..8u32) {
            let entry = &entries()[which];
            let mut body = encode(entry, &Marked);
            let at = at % body.len();
            body[at] ^= 1 << bit;
            let _ = decode(entry.index, &body, &Marked);
        }
    }
}
