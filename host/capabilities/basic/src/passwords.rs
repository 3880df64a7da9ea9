//! Passwords: Argon2id for new hashes, bcrypt for those that were taken over.
//!
//! Hashing takes tens of milliseconds of a core on purpose, so it happens on blocking threads, as many at a time as allowed.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use host_types::{Fault, Rng};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longer ones are refused: they would be a way to make the host work.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1024;
/// What a stored hash may demand at most: somebody else may have written it.
const MAX_MEMORY_KIB: u32 = 64 << 10;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
const MAX_BCRYPT_COST: u32 = 14;

/// How hard a hash is to compute, and how many may be computed at once.
#[derive(Debug, Clone)]
pub struct PasswordOptions {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes computed at the same time; the node's cores.
    pub concurrency: usize,
    /// How long a call waits for its turn before it is an overload.
    pub wait: Duration,
}

impl PasswordOptions {
    /// OWASP's minimum for Argon2id, on this many cores.
    pub fn new(concurrency: usize) -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
            concurrency,
            wait: Duration::from_secs(5),
        }
    }
}

/// What came of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the password.
    pub matches: bool,
    /// It is, and the hash should be replaced by a new one.
    pub outdated: bool,
}

/// Hashes and checks passwords.
pub struct Passwords {
    inner: Arc<Inner>,
    turns: Arc<Semaphore>,
    wait: Duration,
}

struct Inner {
    argon2: Argon2<'static>,
    rng: Arc<dyn Rng>,
}

impl Passwords {
    /// Fails where the parameters are not valid for Argon2id.
    pub fn new(options: &PasswordOptions, rng: Arc<dyn Rng>) -> Result<Self, argon2::Error> {
        let params = Params::new(options.memory_kib, options.passes, options.lanes, None)?;
        let inner = Arc::new(Inner {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            rng,
        });
        Ok(Self {
            inner,
            turns: Arc::new(Semaphore::new(options.concurrency)),
            wait: options.wait,
        })
    }

    /// A PHC string with a fresh salt. The password's length was checked.
    pub async fn hash(&self, password: String) -> Result<String, Fault> {
        self.in_turn(move |inner| inner.hash(&password)).await?
    }

    /// Checks a password. Without a hash, with one it cannot read or for a password that is too long, it does the same work.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, Fault> {
        self.in_turn(move |inner| inner.verify(&password, hash.as_deref()))
            .await
    }

    async fn in_turn<R: Send + 'static>(&self, work: impl FnOnce(&Inner) -> R + Send + 'static) -> Result<R, Fault> {
        let asked = timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = asked.ok().and_then(Result::ok);
        let turn = turn.ok_or_else(|| Fault::Overloaded("too many passwords are being checked".into()))?;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            // A caller that goes away does not stop the thread: the turn ends with the work.
            let _turn = turn;
            work(&inner)
        });
        done.await
            .map_err(|error| Fault::Transient(format!("hashing a password: {error}")))
    }
}

impl Inner {
    fn hash(&self, password: &str) -> Result<String, Fault> {
        let failed = |error: argon2::password_hash::Error| Fault::Transient(format!("hashing a password: {error}"));
        let salt: [u8; 16] = (*self.rng).bytes();
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let hash = self.argon2.hash_password(password.as_bytes(), &salt).map_err(failed)?;
        Ok(hash.to_string())
    }

    fn verify(&self, password: &str, hash: Option<&str>) -> Verdict {
        let usable = hash.filter(|_| password.len() <= MAX_PASSWORD_BYTES);
        match usable.and_then(|hash| self.check(password, hash)) {
            Some(verdict) => verdict,
            None => {
                self.spend(password);
                Verdict {
                    matches: false,
                    outdated: false,
                }
            }
        }
    }

    /// None for a hash that cannot be read or demands too much.
    fn check(&self, password: &str, hash: &str) -> Option<Verdict> {
        let verdict = |matches: bool, outdated: bool| {
            Some(Verdict {
                matches,
                outdated: matches && outdated,
            })
        };
        if hash.starts_with("$2") {
            let cost: u32 = hash.split('$').nth(2)?.parse().ok()?;
            if cost > MAX_BCRYPT_COST {
                tracing::warn!(cost, "a bcrypt hash demands more work than is allowed");
                return None;
            }
            return verdict(bcrypt::verify(password, hash).ok()?, true);
        }
        let parsed = PasswordHash::new(hash).ok()?;
        let (algorithm, params) = (
            Algorithm::try_from(parsed.algorithm).ok()?,
            Params::try_from(&parsed).ok()?,
        );
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
            tracing::warn!(
                memory_kib = params.m_cost(),
                "a password hash demands more work than is allowed"
            );
            return None;
        }
        let matches = self.argon2.verify_password(password.as_bytes(), &parsed).is_ok();
        let ours = self.argon2.params();
        let current = algorithm == Algorithm::Argon2id
            && parsed.version == Some(Version::V0x13.into())
            && (params.m_cost(), params.t_cost(), params.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost());
        verdict(matches, !current)
    }

    /// As much work as a check, so that an unknown account takes as long as a wrong password.
    fn spend(&self, password: &str) {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        let password = &password.as_bytes()[..password.len().min(MAX_PASSWORD_BYTES)];
        if let Err(error) = self
            .argon2
            .hash_password_into(password, b"no account's salt", &mut output)
        {
            tracing::warn!(%error, "the work of a password check could not be spent");
        }
        std::hint::black_box(output);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tokio::sync::mpsc;

    use super::*;

    struct Counting;

    impl Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        }
    }

    fn passwords(options: &PasswordOptions) -> Passwords {
        Passwords::new(options, Arc::new(Counting)).unwrap()
    }

    const fn verdict(matches: bool, outdated: bool) -> Verdict {
        Verdict { matches, outdated }
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_and_no_other() {
        let passwords = passwords(&PasswordOptions::new(2));
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(
            passwords.verify("correct horse".into(), Some(hash.clone())).await,
            Ok(verdict(true, false))
        );
        assert_eq!(
            passwords.verify("wrong horse".into(), Some(hash)).await,
            Ok(verdict(false, false))
        );
    }

    #[tokio::test]
    async fn older_parameters_are_outdated() {
        let weak = passwords(&PasswordOptions {
            memory_kib: 64,
            passes: 1,
            ..PasswordOptions::new(1)
        });
        let hash = weak.hash("x".into()).await.unwrap();
        assert_eq!(
            passwords(&PasswordOptions::new(1)).verify("x".into(), Some(hash)).await,
            Ok(verdict(true, true))
        );
    }

    #[tokio::test]
    async fn bcrypt_hashes_verify_and_are_outdated() {
        let passwords = passwords(&PasswordOptions::new(1));
        // From the published test vectors of bcrypt ("U*U" and "U*U*", cost 5).
        let cases = [
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ];
        for (password, hash) in cases {
            assert_eq!(
                passwords.verify(password.into(), Some(hash.into())).await,
                Ok(verdict(true, true))
            );
            assert_eq!(
                passwords.verify("other".into(), Some(hash.into())).await,
                Ok(verdict(false, false))
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_checked_does_not_match() {
        let passwords = passwords(&PasswordOptions::new(1));
        let greedy =
            "$argon2id$v=19$m=4194304,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let costly = "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for hash in [
            None,
            Some(""),
            Some("plain"),
            Some("$argon2id$"),
            Some("$2a$"),
            Some(greedy),
            Some(costly),
        ] {
            assert_eq!(
                passwords.verify("x".into(), hash.map(Into::into)).await,
                Ok(verdict(false, false)),
                "{hash:?}"
            );
        }
        let hash = passwords.hash("x".into()).await.unwrap();
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert_eq!(passwords.verify(long, Some(hash)).await, Ok(verdict(false, false)));
    }

    #[tokio::test]
    async fn callers_who_leave_take_no_turn_with_them() {
        const CONCURRENCY: usize = 2;
        let passwords = Arc::new(passwords(&PasswordOptions {
            wait: Duration::ZERO,
            ..PasswordOptions::new(CONCURRENCY)
        }));
        let (begun, mut begins) = mpsc::unbounded_channel();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut gates = Vec::new();
        for number in 0..4 * CONCURRENCY {
            let (begun, at_work, peak) = (begun.clone(), running.clone(), most.clone());
            let (gate, opened) = channel::<()>();
            gates.push(gate);
            let work = move |_: &Inner| {
                peak.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(()).unwrap();
                let _ = opened.recv();
                at_work.fetch_sub(1, Ordering::SeqCst);
            };
            let asking = Arc::clone(&passwords);
            let caller = tokio::spawn(async move { asking.in_turn(work).await });
            if number < CONCURRENCY {
                begins.recv().await.unwrap();
                caller.abort();
                assert!(caller.await.unwrap_err().is_cancelled());
                continue;
            }
            // Nobody waits for those that work, and nobody else may begin.
            tokio::select! {
                refused = caller => assert!(matches!(refused.unwrap(), Err(Fault::Overloaded(_)))),
                _ = begins.recv() => {}
            }
            assert_eq!(most.load(Ordering::SeqCst), CONCURRENCY);
        }
        drop(gates);
        // Their turns come back with their work's end.
        let turns = passwords.turns.acquire_many(CONCURRENCY as u32).await;
        assert_eq!(running.load(Ordering::SeqCst), 0);
        drop(turns);
        assert_eq!(passwords.in_turn(|_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_queue_that_does_not_move_is_an_overload() {
        let options = PasswordOptions {
            wait: Duration::ZERO,
            ..PasswordOptions::new(0)
        };
        assert!(matches!(
            passwords(&options).hash("x".into()).await,
            Err(Fault::Overloaded(_))
        ));
    }
}
