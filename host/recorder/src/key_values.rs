//! Writes to key-value stores that ride the append: messages, written by the next commit of the invocation and by nothing else. Until
//! then the invocation itself sees them, and nobody else does.

use std::collections::BTreeMap;

use host_journal::{CommandKind, KeyValueWrite, MAX_INVOCATION_BYTES, Payload, Step};
use host_types::Fault;

use crate::Recorder;

impl Recorder {
    /// A write that becomes durable with the next append, or with the commit of the transaction that is open. `target` names it in
    /// the journal.
    pub fn write_key_value(&self, target: &str, arguments: &[u8], write: KeyValueWrite) -> Result<(), Fault> {
        match self.step(CommandKind::Message, target, arguments)? {
            (Step::Recorded(_), _) => Ok(()),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let mut state = self.attempt.state.lock();
                // They wait in memory for the append that carries them.
                if state.message_bytes() + size(&write) > MAX_INVOCATION_BYTES {
                    let text =
                        format!("writes of more than {MAX_INVOCATION_BYTES} bytes in one append: commit in between");
                    return Err(state.fail(Fault::LimitExceeded(text)));
                }
                let unwritten = state.unwritten_in(&self.scope);
                unwritten.message_bytes += size(&write);
                unwritten.key_values.push(write);
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, target, arguments, Payload::new());
                noted.map_err(|fault| state.fail(fault))
            }
        }
    }

    /// What this invocation has written under the key and nobody else can see yet: a value, or that there is none.
    pub fn unwritten_key_value(&self, store: &str, key: &str) -> Option<Option<Vec<u8>>> {
        let state = self.attempt.state.lock();
        let mut transactions = state.transactions.iter();
        let within = transactions.find(|(begun, _)| begun.scope == self.scope);
        let within = within
            .into_iter()
            .flat_map(|(_, within)| within.key_values.iter().rev());
        let mut writes = within.chain(state.unwritten.key_values.iter().rev());
        let found = writes.find(|write| write.store == store && write.key == key)?;
        Some(found.value.clone())
    }

    /// Makes what was written to this store durable, so that whoever looks there sees it.
    pub async fn flush_key_values(&self, store: &str) -> Result<(), Fault> {
        let has_unwritten = {
            let state = self.attempt.state.lock();
            state.unwritten.key_values.iter().any(|write| write.store == store)
        };
        match has_unwritten {
            true => self.attempt.flush(None).await,
            false => Ok(()),
        }
    }
}

pub(crate) fn size(write: &KeyValueWrite) -> usize {
    write.store.len() + write.key.len() + write.value.as_ref().map_or(0, Vec::len)
}

/// Each key once, as it was written last, in the order of stores and keys.
pub(crate) fn last_of_each(writes: Vec<KeyValueWrite>) -> Vec<KeyValueWrite> {
    let last: BTreeMap<_, _> = writes
        .into_iter()
        .map(|KeyValueWrite { store, key, value }| ((store, key), value))
        .collect();
    let writes = last.into_iter();
    writes
        .map(|((store, key), value)| KeyValueWrite { store, key, value })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::MemoryJournal;
    use crate::{Attempt, TransactionStep};

    fn set(attempt: &Arc<Attempt>, key: &str, value: Option<&str>) {
        let write = KeyValueWrite {
            store: "cart".into(),
            key: key.into(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let arguments = format!("{key} {value:?}");
        let written = attempt.recorder().write_key_value("set", arguments.as_bytes(), write);
        written.expect("a write is noted");
    }

    fn seen(attempt: &Arc<Attempt>, key: &str) -> Option<Option<String>> {
        let seen = attempt.recorder().unwritten_key_value("cart", key)?;
        Some(seen.map(|value| String::from_utf8(value).expect("text")))
    }

    #[tokio::test]
    async fn a_write_is_seen_by_its_invocation_and_written_by_its_next_append() {
        let journal = Arc::new(MemoryJournal::default());
        let attempt = journal.attempt();
        set(&attempt, "b", Some("tea"));
        set(&attempt, "a", Some("rice"));
        set(&attempt, "b", None);
        assert_eq!(seen(&attempt, "a"), Some(Some("rice".into())));
        assert_eq!(seen(&attempt, "b"), Some(None));
        assert_eq!(seen(&attempt, "c"), None);
        assert_eq!(journal.shape(), "", "nothing is durable yet");
        attempt
            .finish(Payload::new(), false)
            .await
            .expect("the append succeeds");
        let written: Vec<_> = journal
            .key_values()
            .into_iter()
            .map(|write| (write.key, write.value))
            .collect();
        assert_eq!(
            written,
            [("a".to_owned(), Some(b"rice".to_vec())), ("b".to_owned(), None)]
        );
        assert_eq!(journal.shape(), "SCCCO");
        assert_eq!(seen(&attempt, "a"), None, "the store has it");
    }

    #[tokio::test]
    async fn a_replay_writes_nothing_again() {
        let journal = Arc::new(MemoryJournal::default());
        let first = journal.attempt();
        set(&first, "a", Some("rice"));
        first
            .recorder()
            .flush_key_values("other")
            .await
            .expect("there is nothing of it");
        assert_eq!(journal.shape(), "");
        first
            .recorder()
            .flush_key_values("cart")
            .await
            .expect("the append succeeds");
        assert_eq!(journal.shape(), "SC");
        journal.forget_key_values();

        let second = journal.attempt();
        set(&second, "a", Some("rice"));
        second.finish(Payload::new(), true).await.expect("the output is kept");
        assert_eq!(journal.key_values(), []);
    }

    #[test]
    fn what_is_written_in_a_transaction_goes_with_it() {
        let attempt = Arc::new(MemoryJournal::default()).attempt();
        set(&attempt, "a", Some("before"));
        let begun = attempt.recorder().transaction(b"read committed").expect("it begins");
        let TransactionStep::Perform(transaction) = begun else {
            panic!("nothing was committed")
        };
        set(&attempt, "a", Some("within"));
        assert_eq!(seen(&attempt, "a"), Some(Some("within".into())));
        transaction.rolled_back(Payload::new()).expect("it is noted");
        assert_eq!(seen(&attempt, "a"), Some(Some("before".into())));
    }
}
