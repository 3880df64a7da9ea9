//! Random words for passwords and for names that must not collide. Straight from the kernel's generator: what is made
//! here is configuration of the machine, never part of an invocation, so it needs no replay.

use std::fs::File;
use std::io::Read;

use crate::error::{Attempting, Result};

/// `N` random bytes as hexadecimal digits.
pub(crate) fn hex<const N: usize>() -> Result<String> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; N];
    File::open(SOURCE)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .attempting("read", SOURCE)?;
    Ok(hex::encode(bytes))
}
