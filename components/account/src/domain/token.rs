//! What tokens carry, how long they live, and when a refresh token is still good.

use sdk::{AccountId, Timestamp, Uuid};
use serde::{Deserialize, Serialize};

use super::profile::Status;

/// The account as every token names it; other modules read it from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountClaim {
    #[serde(rename = "ID")]
    pub(crate) id: AccountId,
    #[serde(rename = "Number")]
    pub(crate) number: i64,
}

/// The payload of an access token. Times are unix seconds.
#[derive(Debug, Serialize)]
pub(crate) struct AccessPayload {
    sub: AccountId,
    jti: Uuid,
    iat: i64,
    exp: i64,
    #[serde(rename = "Account")]
    account: AccountClaim,
}

/// The payload of a refresh token. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshPayload {
    sub: AccountId,
    pub(crate) jti: Uuid,
    iat: i64,
    exp: i64,
    #[serde(rename = "Account")]
    pub(crate) account: AccountClaim,
    /// The sign-in it came from.
    pub(crate) family: Uuid,
    /// When that sign-in ends.
    pub(crate) family_exp: i64,
}

/// How long things live, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) access_seconds: i64,
    pub(crate) refresh_seconds: i64,
    pub(crate) session_seconds: i64,
}

/// The sign-in that tokens belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) id: Uuid,
    pub(crate) expires: Timestamp,
}

/// A pair of tokens before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) access_id: Uuid,
    pub(crate) refresh_id: Uuid,
    pub(crate) family: Family,
    pub(crate) issued: Timestamp,
    pub(crate) lifetimes: Lifetimes,
}

impl Pair {
    pub(crate) fn access(&self, account: AccountClaim) -> AccessPayload {
        AccessPayload {
            sub: account.id,
            jti: self.access_id,
            iat: self.issued.as_seconds(),
            exp: self.issued.plus_seconds(self.lifetimes.access_seconds).as_seconds(),
            account,
        }
    }

    pub(crate) fn refresh(&self, account: AccountClaim) -> RefreshPayload {
        RefreshPayload {
            sub: account.id,
            jti: self.refresh_id,
            iat: self.issued.as_seconds(),
            exp: self.refresh_expires().as_seconds(),
            account,
            family: self.family.id,
            family_exp: self.family.expires.as_seconds(),
        }
    }

    /// No token outlives its sign-in.
    pub(crate) fn refresh_expires(&self) -> Timestamp {
        self.issued
            .plus_seconds(self.lifetimes.refresh_seconds)
            .min(self.family.expires)
    }
}

/// What is known of a refresh token that was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) status: Status,
    pub(crate) expires: Timestamp,
    pub(crate) used: Option<Timestamp>,
    pub(crate) family_revoked: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exchange it for a successor.
    Rotate,
    /// Somebody has a copy: end the family.
    Revoke,
    /// It is over: expired, or its family was ended.
    Refuse,
    /// Its account may not act: end the family, whether the token was used or not, and say why.
    Suspended,
}

/// A used token is answered again for a short while, because a client that lost the answer asks twice.
pub(crate) fn judge(token: &Presented, now: Timestamp, grace_seconds: i64) -> Verdict {
    if token.status == Status::Suspended {
        return Verdict::Suspended;
    }
    if token.family_revoked || token.expires <= now {
        return Verdict::Refuse;
    }
    match token.used {
        Some(used) if used.plus_seconds(grace_seconds) < now => Verdict::Revoke,
        _ => Verdict::Rotate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_750_000_000_500);

    fn presented() -> Presented {
        Presented {
            status: Status::Active,
            expires: NOW.plus_seconds(60),
            used: None,
            family_revoked: false,
        }
    }

    fn verdict(token: Presented) -> Verdict {
        judge(&token, NOW, 10)
    }

    #[test]
    fn an_unused_token_rotates() {
        assert_eq!(verdict(presented()), Verdict::Rotate);
    }

    #[test]
    fn a_used_token_is_answered_again_for_a_while_and_then_ends_its_family() {
        let used = |seconds| Presented {
            used: Some(NOW.plus_seconds(seconds)),
            ..presented()
        };
        assert_eq!(verdict(used(-10)), Verdict::Rotate);
        assert_eq!(verdict(used(-11)), Verdict::Revoke);
        // Another node's clock may be ahead.
        assert_eq!(verdict(used(1)), Verdict::Rotate);
    }

    #[test]
    fn an_ended_family_and_an_expired_token_are_refused() {
        assert_eq!(
            verdict(Presented {
                family_revoked: true,
                ..presented()
            }),
            Verdict::Refuse
        );
        assert_eq!(
            verdict(Presented {
                expires: NOW,
                ..presented()
            }),
            Verdict::Refuse
        );
        let reused = Presented {
            used: Some(NOW.plus_seconds(-99)),
            family_revoked: true,
            ..presented()
        };
        assert_eq!(verdict(reused), Verdict::Refuse);
    }

    #[test]
    fn a_suspended_account_is_told_so_whatever_its_token() {
        let suspended = Presented {
            status: Status::Suspended,
            ..presented()
        };
        let used = Some(NOW.plus_seconds(-99));
        for token in [suspended, Presented { used, ..suspended }] {
            assert_eq!(verdict(token), Verdict::Suspended);
        }
    }

    fn pair(session_seconds: i64) -> Pair {
        Pair {
            access_id: Uuid::from_u128(1),
            refresh_id: Uuid::from_u128(2),
            family: Family {
                id: Uuid::from_u128(3),
                expires: NOW.plus_seconds(session_seconds),
            },
            issued: NOW,
            lifetimes: Lifetimes {
                access_seconds: 3600,
                refresh_seconds: 1_209_600,
                session_seconds,
            },
        }
    }

    #[test]
    fn payloads_are_what_clients_and_modules_read() {
        let account = AccountClaim {
            id: AccountId(Uuid::from_u128(7)),
            number: 42,
        };
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            serde_json::to_value(pair(2_592_000).access(account)).unwrap(),
            serde_json::json!({
                "sub": id,
                "jti": "00000000-0000-0000-0000-000000000001",
                "iat": 1_750_000_000,
                "exp": 1_750_003_600,
                "Account": { "ID": id, "Number": 42 },
            })
        );
        let refresh = pair(2_592_000).refresh(account);
        assert_eq!(refresh.exp - refresh.iat, 1_209_600);
        let read: RefreshPayload = serde_json::from_value(serde_json::to_value(&refresh).unwrap()).unwrap();
        assert_eq!(read, refresh);
    }

    #[test]
    fn no_refresh_token_outlives_its_sign_in() {
        assert_eq!(pair(60).refresh_expires(), NOW.plus_seconds(60));
    }
}
