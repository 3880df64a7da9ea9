//! What an attempt has made durable: of the journal, and beside it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts while the attempt runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of the append that is under way.
    handed_over: AtomicU64,
    journal_bytes: AtomicU64,
    business_bytes: AtomicU64,
}

/// What a tally came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Of entries, as stored.
    pub journal_bytes: u64,
    /// Of the parameters of statements that wrote, in transactions that committed.
    pub business_bytes: u64,
}

impl Tally {
    /// An append of so many bytes is handed over; the appends of an attempt are serial.
    pub(crate) fn hand_over(&self, bytes: usize) {
        self.handed_over.store(bytes as u64, Ordering::Relaxed);
    }

    /// It is durable.
    pub(crate) fn written(&self) {
        let bytes = self.handed_over.swap(0, Ordering::Relaxed);
        self.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn business(&self, bytes: u64) {
        self.business_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Tallied {
        Tallied {
            journal_bytes: self.journal_bytes.load(Ordering::Relaxed),
            business_bytes: self.business_bytes.load(Ordering::Relaxed),
        }
    }
}
