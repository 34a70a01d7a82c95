//! The certificates of this machine: read again when their files change, and told before they end.
//!
//! Every port with TLS adds its [`Tls`] here. One task looks at the files every few seconds, so that
//! they are replaced without a restart; what cannot be used leaves what was used, and says so.
//! [`Certificates::concerns`] is what somebody has to do something about: the log, the settings screen
//! and alerts ask the same function.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_drivers::{Clock, Look, Tls, TlsStatus};
use tokio_util::sync::CancellationToken;

/// How long before its end a certificate is told of: a hospital's authority takes weeks.
pub const TOLD_BEFORE_DAYS: i64 = 30;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often the log tells of what was not mended.
const TELL_EVERY_MICROS: i64 = MICROS_A_DAY;

const MICROS_A_DAY: i64 = 24 * 3600 * 1_000_000;

/// The certificates of all ports.
#[derive(Debug)]
pub struct Certificates {
    all: Mutex<Vec<Arc<Tls>>>,
    clock: Arc<dyn Clock>,
}

/// How a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is to be done.
    Good,
    /// It ends in so many days, fewer than [`TOLD_BEFORE_DAYS`].
    EndsIn(i64),
    /// It is no longer valid.
    Ended,
    /// The files, as they are now, cannot be used; where there was something before, it goes on.
    Unusable {
        /// The code that the manual explains.
        code: &'static str,
        /// Why.
        why: String,
    },
}

impl Standing {
    /// How the certificate of `status` stands at `now` (microseconds since 1970).
    pub fn of(status: &TlsStatus, now: i64) -> Self {
        if let Some(problem) = &status.problem {
            return Self::Unusable {
                code: problem.code(),
                why: problem.to_string(),
            };
        }
        let Some(certificate) = &status.certificate else {
            return Self::Good;
        };
        let left = certificate.not_after_utc_micros.saturating_sub(now);
        match left.div_euclid(MICROS_A_DAY) {
            _ if left <= 0 => Self::Ended,
            days if days < TOLD_BEFORE_DAYS => Self::EndsIn(days),
            _ => Self::Good,
        }
    }
}

/// Something to be done about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// Whose it is: the id of a line, `host:<id>:results`, or `console`.
    pub owner: String,
    /// What.
    pub standing: Standing,
}

impl Certificates {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            all: Mutex::default(),
            clock,
        }
    }

    /// Takes one in; of two for the same owner, the newer stays.
    pub fn add(&self, tls: Arc<Tls>) {
        let owner = tls.status().owner;
        let mut all = self.all();
        all.retain(|known| known.status().owner != owner);
        all.push(tls);
    }

    /// What is known of each, in the order of their owners.
    pub fn list(&self) -> Vec<TlsStatus> {
        let mut list: Vec<_> = self.all().iter().map(|tls| tls.status()).collect();
        list.sort_by(|a, b| a.owner.cmp(&b.owner));
        list
    }

    /// What somebody has to do something about.
    pub fn concerns(&self) -> Vec<Concern> {
        let now = self.clock.utc_micros();
        let concern = |status: TlsStatus| Concern {
            standing: Standing::of(&status, now),
            owner: status.owner,
        };
        let all = self.list().into_iter().map(concern);
        all.filter(|one| one.standing != Standing::Good).collect()
    }

    /// Looks at the files, and tells the log what changed.
    pub fn look(&self) {
        let all: Vec<_> = self.all().iter().map(Arc::clone).collect();
        for tls in all {
            match tls.look() {
                Look::Same => {}
                Look::Renewed => {
                    let status = tls.status();
                    let shown = status.certificate.map(|one| one.fingerprint);
                    let fingerprint = shown.unwrap_or_default();
                    tracing::info!(
                        owner = status.owner,
                        fingerprint,
                        "the files of TLS changed; new connections use them"
                    );
                }
                Look::Kept(error) => {
                    let owner = tls.status().owner;
                    let cause = std::error::Error::source(&*error).map(ToString::to_string);
                    tracing::error!(
                        owner,
                        code = error.code(),
                        cause,
                        "the files of TLS changed and cannot be used: {error}; what was used before goes on"
                    );
                }
            }
        }
    }

    /// Looks every few seconds, and tells once a day what is to be done, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut told: BTreeMap<String, (Standing, i64)> = BTreeMap::new();
        loop {
            let now = self.clock.utc_micros();
            for Concern { owner, standing } in self.concerns() {
                let is_told = told.get(&owner).is_some_and(|(known, at)| {
                    *known == standing && now.saturating_sub(*at) < TELL_EVERY_MICROS
                });
                if !is_told {
                    tell(&owner, &standing);
                    told.insert(owner, (standing, now));
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let has_none = self.all().is_empty();
            if has_none {
                continue;
            }
            let certificates = Arc::clone(&self);
            // Reading files may wait for a disk.
            let looked = tokio::task::spawn_blocking(move || certificates.look()).await;
            if let Err(error) = looked {
                tracing::error!(%error, "the files of TLS could not be looked at");
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Tls>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(owner: &str, standing: &Standing) {
    match standing {
        Standing::Good => {}
        Standing::EndsIn(days) => {
            tracing::warn!(owner, days, "a certificate ends soon: renew it");
        }
        Standing::Ended => {
            tracing::error!(
                owner,
                "a certificate is no longer valid: others refuse it; renew it"
            );
        }
        Standing::Unusable { code, why } => {
            tracing::error!(owner, code, "the files of TLS cannot be used: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use labwire_drivers::{Certificate, SystemClock, TlsError, TlsFiles, TlsSide};

    use super::*;

    fn status(days: i64) -> TlsStatus {
        TlsStatus {
            owner: "xn-1".to_owned(),
            files: TlsFiles::default(),
            certificate: Some(Certificate {
                not_before_utc_micros: 0,
                not_after_utc_micros: days * MICROS_A_DAY,
                fingerprint: String::new(),
            }),
            problem: None,
        }
    }

    #[test]
    fn an_end_is_told_thirty_days_before() {
        let of = |days: i64, now: i64| Standing::of(&status(days), now);
        assert_eq!(of(400, 370 * MICROS_A_DAY), Standing::Good);
        assert_eq!(of(400, 370 * MICROS_A_DAY + 1), Standing::EndsIn(29));
        assert_eq!(of(400, 400 * MICROS_A_DAY - 1), Standing::EndsIn(0));
        assert_eq!(of(400, 400 * MICROS_A_DAY), Standing::Ended);
        let mut bad = status(400);
        bad.problem = Some(Arc::new(TlsError::Unnamed));
        let found = Standing::of(&bad, 0);
        assert!(
            matches!(
                found,
                Standing::Unusable {
                    code: "DRV-0501",
                    ..
                }
            ),
            "{found:?}"
        );
    }

    #[test]
    fn files_that_are_missing_are_a_concern_of_their_owner() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let certificates = Certificates::new(Arc::clone(&clock));
        let missing = TlsFiles {
            certificate: Some("/nowhere/a.pem".into()),
            key: Some("/nowhere/a.key".into()),
            ..TlsFiles::default()
        };
        for owner in ["xn-2", "xn-1", "xn-2"] {
            let tls = Tls::new(owner, missing.clone(), TlsSide::Server, Arc::clone(&clock));
            certificates.add(Arc::new(tls));
        }
        let concerns = certificates.concerns();
        let owners: Vec<_> = concerns.iter().map(|one| one.owner.as_str()).collect();
        assert_eq!(owners, ["xn-1", "xn-2"]);
        assert!(
            matches!(
                &concerns[0].standing,
                Standing::Unusable {
                    code: "DRV-0502",
                    ..
                }
            ),
            "{concerns:?}"
        );
    }
}
