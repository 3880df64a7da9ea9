//! What a command is given, as it is compared with the record.

/// Bytes that are hashed under the invocation's key and never stored.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    pub(crate) whole: &'a [u8],
    /// What no secret has a part in, where one may have a part in the rest.
    pub(crate) peer: Option<&'a [u8]>,
}

impl<'a> Arguments<'a> {
    /// Those of a request to another host, which a guest may have made with a secret. `peer` says whom it asks, and is like no request's
    /// `whole`. A request may differ from the recorded one as long as the guest has another secret than it had then.
    pub fn of_request(whole: &'a [u8], peer: &'a [u8]) -> Self {
        let peer = Some(peer);
        Self { whole, peer }
    }
}

impl<'a> From<&'a [u8]> for Arguments<'a> {
    fn from(whole: &'a [u8]) -> Self {
        Self { whole, peer: None }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Arguments<'a> {
    fn from(whole: &'a [u8; N]) -> Self {
        Self::from(whole.as_slice())
    }
}

impl<'a> From<&'a Vec<u8>> for Arguments<'a> {
    fn from(whole: &'a Vec<u8>) -> Self {
        Self::from(whole.as_slice())
    }
}
