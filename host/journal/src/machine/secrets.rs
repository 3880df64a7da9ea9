//! Secrets that were changed after an invocation had read them.
//!
//! Of a secret only its version is recorded, and a replay is given the value of today. What its guest signs with it, or puts into a header, is
//! then not what is recorded, and that is no mismatch: whoever sends a request at the same place of the record gets what is recorded there.
//! So a gateway that was down while its secret was changed does not leave its payments stuck.
//!
//! Whom the request asks is compared where it was recorded by that. One that was recorded under the secret of then holds one hash of all
//! that was sent: of such a one nobody can say what of it was the secret's, so an attempt takes any request for it, and a dry run says that it did.

use host_types::{Position, Scope};

use super::Machine;
use crate::{ArgumentHash, Body};

/// Two hashes of one request to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHashes {
    /// Of all that the guest handed over.
    pub whole: ArgumentHash,
    /// Of what no secret has a part in.
    pub peer: ArgumentHash,
}

/// How a request stands to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It is the recorded one, or there is none, or one that it may not differ from.
    Told(ArgumentHash),
    /// It differs from the recorded one, whose hash this is, as its guest has another secret than it had then.
    OtherSecret(ArgumentHash),
}

impl Machine {
    /// The guest of this scope is given another value of a secret than it was when its reading was recorded.
    pub fn give_other_secret(&mut self, scope: &Scope) {
        if !self.other_secrets.contains(scope) {
            self.other_secrets.push(scope.clone());
        }
    }

    /// What the next command of this scope, a request to another host, is compared and recorded by.
    ///
    /// One that is recorded while its guest has another secret than is recorded of it is recorded by its peer alone: whatever the secret
    /// is in a later attempt, also if it is the old one again or a node has yet to learn of the new one, it cannot be sent alike.
    pub fn request(&mut self, scope: &Scope, hashes: RequestHashes) -> Likeness {
        let RequestHashes { whole, peer } = hashes;
        let has_other_secret = self.other_secrets.contains(scope);
        let next = Position {
            scope: scope.clone(),
            number: self.cursors.get(scope).map_or(0, |cursor| cursor.next),
        };
        let record = self.records.get(&next).map(|record| &self.log[record.command].body);
        let (likeness, is_assumed) = match record {
            Some(Body::Command { arguments, .. }) if *arguments == whole => (Likeness::Told(whole), false),
            Some(Body::Command { arguments, .. }) if *arguments == peer => (Likeness::Told(peer), true),
            Some(Body::Command { arguments, .. }) if has_other_secret => (Likeness::OtherSecret(*arguments), true),
            None if has_other_secret => (Likeness::Told(peer), false),
            _ => (Likeness::Told(whole), false),
        };
        if let Some(dry_run) = &mut self.dry_run {
            dry_run.has_assumed |= is_assumed;
        }
        likeness
    }

    /// Some guest has another secret than it had then.
    pub fn has_other_secret(&self) -> bool {
        !self.other_secrets.is_empty()
    }
}
