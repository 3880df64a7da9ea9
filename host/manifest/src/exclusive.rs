//! Functions of a component that run one at a time for each key.

use std::fmt;

use crate::{Component, InterfaceName, Location};

/// One line of `exclusive`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExclusiveRule {
    /// The exported interface; without a version it stands for any.
    pub interface: InterfaceName,
    /// The function in it.
    pub function: String,
    /// The parameter whose value is the key.
    pub parameter: String,
    /// Where the manifest says so.
    pub at: Location,
}

impl Component {
    /// The line for this exported function, if there is one.
    pub fn exclusive_rule(&self, interface: &InterfaceName, function: &str) -> Option<&ExclusiveRule> {
        let mut rules = self.exclusive.iter();
        rules.find(|rule| rule.function == function && rule.interface.covers(interface))
    }
}

impl fmt::Display for ExclusiveRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.interface, self.function)
    }
}
