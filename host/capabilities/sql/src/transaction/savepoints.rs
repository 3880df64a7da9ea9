//! Which statements still count, and what the server has yet to hear about it.
//!
//! Savepoint commands are not sent on their own: they ride with the next statement.

/// The savepoints of an open transaction.
#[derive(Debug, Default)]
pub(crate) struct Savepoints {
    depth: u32,
    /// How many savepoints were open when a statement failed. Until that level is rolled back, the server refuses everything.
    failed_at: Option<u32>,
    unsent: String,
}

/// How deep savepoints nest. Beyond 64 subtransactions the server keeps track of a session's in a way that slows down all others.
pub(crate) const MAX_DEPTH: u32 = 64;

impl Savepoints {
    /// An earlier statement failed, and nothing undid that.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// A statement failed now.
    pub(crate) fn fail(&mut self) {
        self.failed_at.get_or_insert(self.depth);
    }

    /// Commands that must reach the server before the next statement.
    pub(crate) fn take_unsent(&mut self) -> Option<String> {
        (!self.unsent.is_empty()).then(|| std::mem::take(&mut self.unsent))
    }

    /// False when they are nested too deep.
    #[must_use]
    pub(crate) fn open(&mut self) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        self.depth += 1;
        if self.failed_at.is_none() {
            self.unsent.push_str(&format!("SAVEPOINT nexus_{};", self.depth));
        }
        true
    }

    /// False when there is none.
    #[must_use]
    pub(crate) fn release(&mut self) -> bool {
        let Some(outer) = self.depth.checked_sub(1) else {
            return false;
        };
        match self.failed_at {
            None => self.unsent.push_str(&format!("RELEASE nexus_{};", self.depth)),
            // The failure is kept with everything else: it is the outer level's now.
            Some(level) => self.failed_at = Some(level.min(outer)),
        }
        self.depth = outer;
        true
    }

    /// False when there is none.
    #[must_use]
    pub(crate) fn roll_back(&mut self) -> bool {
        let Some(outer) = self.depth.checked_sub(1) else {
            return false;
        };
        // A failure further out is not undone by this, and the server never heard of this savepoint.
        if self.failed_at.is_none_or(|level| level == self.depth) {
            self.failed_at = None;
            self.unsent
                .push_str(&format!("ROLLBACK TO nexus_{0}; RELEASE nexus_{0};", self.depth));
        }
        self.depth = outer;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_wait_for_the_next_statement() {
        let mut savepoints = Savepoints::default();
        assert_eq!(savepoints.take_unsent(), None);
        assert!(savepoints.open());
        assert!(savepoints.open());
        assert!(savepoints.release());
        assert_eq!(
            savepoints.take_unsent().as_deref(),
            Some("SAVEPOINT nexus_1;SAVEPOINT nexus_2;RELEASE nexus_2;")
        );
        assert_eq!(savepoints.take_unsent(), None);
    }

    #[test]
    fn rolling_back_the_level_of_a_failure_undoes_it() {
        let mut savepoints = Savepoints::default();
        assert!(savepoints.open());
        savepoints.fail();
        assert!(savepoints.is_failed());
        savepoints.take_unsent();
        assert!(savepoints.roll_back());
        assert!(!savepoints.is_failed());
        assert_eq!(
            savepoints.take_unsent().as_deref(),
            Some("ROLLBACK TO nexus_1; RELEASE nexus_1;")
        );
    }

    #[test]
    fn a_released_failure_belongs_to_the_outer_level() {
        let mut savepoints = Savepoints::default();
        assert!(savepoints.open());
        assert!(savepoints.open());
        savepoints.fail();
        savepoints.take_unsent();
        assert!(savepoints.release());
        assert!(savepoints.is_failed());
        assert!(savepoints.roll_back());
        assert!(!savepoints.is_failed());
        assert_eq!(
            savepoints.take_unsent().as_deref(),
            Some("ROLLBACK TO nexus_1; RELEASE nexus_1;")
        );
    }

    #[test]
    fn a_savepoint_opened_after_a_failure_cannot_undo_it() {
        let mut savepoints = Savepoints::default();
        assert!(savepoints.open());
        savepoints.fail();
        savepoints.take_unsent();
        assert!(savepoints.open());
        assert!(savepoints.roll_back());
        assert!(savepoints.is_failed());
        assert_eq!(savepoints.take_unsent(), None);
        assert!(savepoints.roll_back());
        assert!(!savepoints.is_failed());
    }

    #[test]
    fn they_nest_only_so_deep() {
        let mut savepoints = Savepoints::default();
        for _ in 0..MAX_DEPTH {
            assert!(savepoints.open());
        }
        assert!(!savepoints.open());
        assert!(savepoints.release());
        assert!(savepoints.open());
    }

    #[test]
    fn a_failure_outside_stays() {
        let mut savepoints = Savepoints::default();
        savepoints.fail();
        assert!(savepoints.open());
        assert!(savepoints.release());
        assert!(savepoints.is_failed());
        assert!(!savepoints.release());
        assert!(!savepoints.roll_back());
    }
}
