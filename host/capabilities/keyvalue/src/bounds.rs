//! What a key and a value may be. The same for every backend, so that a component can be moved from one to another.

use host_bindings::wasi::keyvalue::store::Error;

/// Bytes of a key at most.
pub const MAX_KEY_BYTES: usize = 255;
/// Bytes of a value at most: a read is recorded, and what is recorded is kept.
pub const MAX_VALUE_BYTES: usize = 256 << 10;
/// Keys of one page at most; with the longest keys a page fits one entry of the record.
pub const PAGE_KEYS: usize = 1000;

/// Refuses a key no backend could keep.
pub(crate) fn key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Other("a key is empty".into()));
    }
    if key.len() > MAX_KEY_BYTES {
        let length = key.len();
        return Err(Error::Other(format!(
            "a key has {length} bytes; the longest may have {MAX_KEY_BYTES}"
        )));
    }
    // PostgreSQL's text cannot hold it.
    if key.contains('\0') {
        return Err(Error::Other("a key contains a zero byte".into()));
    }
    Ok(())
}

/// Refuses a value that is too long.
pub(crate) fn value(value: &[u8]) -> Result<(), Error> {
    if value.len() > MAX_VALUE_BYTES {
        let length = value.len();
        return Err(Error::Other(format!(
            "a value has {length} bytes; the longest may have {MAX_VALUE_BYTES}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_to_255_bytes_without_zero() {
        for refused in [
            String::new(),
            "k".repeat(MAX_KEY_BYTES + 1),
            "é".repeat(128),
            "a\0b".into(),
        ] {
            assert!(key(&refused).is_err(), "{refused:?}");
        }
        for good in [
            "k".to_owned(),
            "k".repeat(MAX_KEY_BYTES),
            "é".repeat(127),
            "a b/ç".into(),
        ] {
            assert!(key(&good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn values_are_at_most_256_kib() {
        assert!(value(&[]).is_ok());
        assert!(value(&vec![0; MAX_VALUE_BYTES]).is_ok());
        assert!(value(&vec![0; MAX_VALUE_BYTES + 1]).is_err());
    }
}
