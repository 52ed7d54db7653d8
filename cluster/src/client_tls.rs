//! TLS of the client port and of the admin listener: the handshake with a caller, and the files that it needs.
//!
//! The files are read before anything is bound, and again while the node runs. This module says who a caller is by its
//! certificate. It never decides what a caller may do, and it opens no socket.

mod live;

use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use assent_tls::{
    Admit, Authorities, CertificateDer, CertificateError, OwnCertificate, RereadAuthorities, ServerConfig,
    Side, SpiffeId, TlsError, TlsFileError, certificate_error, explain,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, rustls};

use self::live::{LiveCaller, LiveConnections};
use crate::access::ShownIdentity;
use crate::config::ClientTlsConfig;
use crate::env::{BoxStream, Clock};
use crate::locked::{read, write};
use crate::tls_files::{Problems, TableProblems, TlsFile};
use crate::wall_time::WallTime;

/// The most handshakes at the same time. A handshake costs more than most requests. Callers beyond this wait, each
/// within its own deadline.
const HANDSHAKES_MAX: usize = 256;

/// The most handshakes at the same time on the admin listener. They have turns of their own, so that clients cannot keep
/// operators waiting.
pub(crate) const ADMIN_HANDSHAKES_MAX: usize = 16;

/// How long a handshake may have its turn. A caller that goes on too slowly would otherwise keep the turn from others.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// Why a listener that demands certificates lets no caller in. A configuration like this is refused before.
const NO_CA: &str = "`client_tls.ca` is not set, so no caller's certificate can be checked";

/// What the admin listener speaks within TLS, as the client port does.
const ALPN: &[u8] = b"http/1.1";

/// On which listener a handshake is made, and what it demands of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// The client port. A caller may show a certificate.
    Client,
    /// An admin listener on loopback. A caller may show a certificate.
    Admin,
    /// An admin listener that other machines reach. A caller must show a certificate.
    AdminCertificate,
}

/// TLS of the client port and of the admin listener.
pub(crate) struct ClientTls {
    paths: ClientTlsConfig,
    /// Whether the node is sure of its clock does not matter here: a node that is not sure answers nothing that matters,
    /// and must still be reached to be put right.
    time: WallTime,
    current: RwLock<Arc<Current>>,
    problems: TableProblems,
    handshakes: Semaphore,
    admin_handshakes: Semaphore,
    live: Arc<LiveConnections>,
}

/// What the files held when they were last read with success.
struct Current {
    config: Arc<ServerConfig>,
    /// The same, but a caller must show a certificate. `None` if callers cannot show one.
    demanding: Option<Arc<ServerConfig>>,
    /// By what a caller's certificate is checked. `None` if callers cannot show one.
    callers: Option<Arc<Authorities>>,
    /// The node's own certificate, which clients are shown.
    own: OwnCertificate,
}

/// A connection after its handshake.
pub(crate) struct Accepted {
    /// What is spoken within TLS.
    pub(crate) stream: BoxStream,
    /// The caller, if it has shown a certificate.
    pub(crate) caller: Option<LiveCaller>,
}

/// A connection that was refused.
pub(crate) struct NotAccepted {
    /// Why, for the log.
    pub(crate) why: String,
    /// What the certificate that was refused calls its holder, if one was.
    pub(crate) shown: Option<ShownIdentity>,
    /// The connection, if it is still there. The caller has to read the alert from it before it is closed.
    pub(crate) stream: Option<BoxStream>,
}

impl ClientTls {
    /// Reads the files. This blocks the thread.
    ///
    /// # Errors
    /// The first file that cannot be used, and why. A certificate that is not for servers is such a file, and so is a file of
    /// revocation lists of which none is by an authority of the configuration. A certificate that is out of its time is only
    /// logged: the clock may be wrong, and the file may be replaced while the node runs.
    pub(crate) fn read(paths: ClientTlsConfig, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let time = WallTime(clock);
        let current = Current::read(&paths, &time)?;
        if let Err(error) = current.own.check_time(&paths.cert, time.now()) {
            tracing::warn!(%error, "clients will refuse this node's certificate");
        }
        Ok(Self {
            paths,
            time,
            current: RwLock::new(Arc::new(current)),
            problems: TableProblems::new("client_tls"),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            admin_handshakes: Semaphore::new(ADMIN_HANDSHAKES_MAX),
            live: Arc::default(),
        })
    }

    /// Makes the handshake with a caller that has begun to send. The caller of this sets the deadline, which the wait for
    /// a turn counts in. The turn itself is short.
    pub(crate) async fn accept(&self, stream: BoxStream, demand: Demand) -> Result<Accepted, NotAccepted> {
        let turns = match demand {
            Demand::Client => &self.handshakes,
            Demand::Admin | Demand::AdminCertificate => &self.admin_handshakes,
        };
        // The semaphores are never closed.
        let _turn = turns.acquire().await;
        let current = read(&self.current).clone();
        let config = match demand {
            Demand::Client | Demand::Admin => Some(&current.config),
            Demand::AdminCertificate => current.demanding.as_ref(),
        };
        let Some(config) = config else {
            return Err(NotAccepted { why: NO_CA.to_owned(), shown: None, stream: Some(stream) });
        };
        let accepting = TlsAcceptor::from(config.clone()).accept(stream).into_fallible();
        let stream = match timeout(TURN_WITHIN, accepting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                let shown = shown_in(&error);
                return Err(NotAccepted { why: explain(&error), shown, stream: Some(stream) });
            }
            Err(_) => {
                let within = TURN_WITHIN.as_secs();
                let why = format!(
                    "the caller was too slow: the handshake was not done within {within} s of its turn"
                );
                return Err(NotAccepted { why, shown: None, stream: None });
            }
        };
        let shown = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        let stream: BoxStream = Box::new(stream);
        let (Some(chain), Some(callers)) = (shown, &current.callers) else {
            return match demand {
                Demand::Client | Demand::Admin => Ok(Accepted { stream, caller: None }),
                // The handshake has demanded one already.
                Demand::AdminCertificate => {
                    let why = CertificateError::None.to_string();
                    Err(NotAccepted { why, shown: None, stream: Some(stream) })
                }
            };
        };
        match self.check(callers, &chain) {
            Ok(id) => Ok(Accepted { stream, caller: Some(self.live.add(id, chain)) }),
            Err(error) => {
                let shown = named_by(&error);
                Err(NotAccepted { why: error.to_string(), shown, stream: Some(stream) })
            }
        }
    }

    /// Reads the files again. A new certificate is shown if it is sound. What the authorities and the lists of revoked callers
    /// withdraw is withdrawn whatever else is wrong with the files ([`Authorities::read_again`]).
    pub(crate) fn reload(&self) {
        let before = read(&self.current).clone();
        let problems = match before.read_again(&self.paths, &self.time) {
            Ok((current, problems)) => {
                *write(&self.current) = Arc::new(current);
                problems
            }
            Err(error) => {
                let mut problems = Problems::default();
                problems.add(TlsFile::Cert, &error);
                problems
            }
        };
        self.problems.note(problems);
    }

    /// What is wrong with the files now.
    pub(crate) fn problems(&self) -> &TableProblems {
        &self.problems
    }

    /// When the certificate ends that the node shows to its clients, in milliseconds since 1970.
    pub(crate) fn not_after_ms(&self) -> i64 {
        read(&self.current).own.not_after_ms()
    }

    /// When the first of the lists of revoked certificates of callers ends, in milliseconds since 1970. `None` without
    /// lists.
    pub(crate) fn next_update_ms(&self) -> Option<i64> {
        read(&self.current).callers.as_ref()?.next_update_ms()
    }

    /// Ends the connections whose certificate does not hold any more: it has expired, it was revoked, or its authority
    /// was removed.
    pub(crate) fn end_withdrawn(&self) {
        let current = read(&self.current).clone();
        self.live.end_withdrawn(|chain| match &current.callers {
            Some(callers) => self.check(callers, chain),
            // The configuration names no authorities, so no caller has shown a certificate.
            None => Err(CertificateError::None),
        });
    }

    fn check(
        &self,
        callers: &Authorities,
        chain: &[CertificateDer<'static>],
    ) -> Result<SpiffeId, CertificateError> {
        callers.check(chain, Side::Client, self.time.now())
    }
}

/// What a certificate calls its holder that made a handshake fail.
fn shown_in(error: &io::Error) -> Option<ShownIdentity> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    named_by(certificate_error(error)?)
}

/// What a refused certificate calls its holder: its SPIFFE id or else its subject, and its serial number.
fn named_by(error: &CertificateError) -> Option<ShownIdentity> {
    match error {
        CertificateError::Unreadable { certificate, .. }
        | CertificateError::IsAuthority { certificate }
        | CertificateError::Expired { certificate, .. }
        | CertificateError::NotYetValid { certificate, .. }
        | CertificateError::UnknownIssuer { certificate, .. }
        | CertificateError::WrongSignature { certificate, .. }
        | CertificateError::Revoked { certificate, .. }
        | CertificateError::UnknownStatus { certificate, .. }
        | CertificateError::ListExpired { certificate, .. }
        | CertificateError::ListUnusable { certificate, .. }
        | CertificateError::WrongUsage { certificate, .. }
        | CertificateError::WrongName { certificate, .. }
        | CertificateError::NoId { certificate }
        | CertificateError::ManyIds { certificate, .. }
        | CertificateError::BadId { certificate, .. }
        | CertificateError::Other { certificate, .. } => Some(ShownIdentity::unverified(certificate)),
        CertificateError::NotAdmitted { id, .. } => Some(ShownIdentity::unverified(id.as_str())),
        CertificateError::None | CertificateError::TooManyCertificates { .. } => None,
    }
}

impl Current {
    /// Reads the files for the first time.
    fn read(paths: &ClientTlsConfig, time: &WallTime) -> Result<Self, String> {
        let own = OwnCertificate::read(&paths.cert, &paths.key).map_err(|error| error.to_string())?;
        own.check_for_server(&paths.cert).map_err(|error| error.to_string())?;
        let callers = match &paths.ca {
            Some(ca) => {
                let read = Authorities::read(ca, paths.crl.as_deref()).map_err(|error| error.to_string())?;
                Some(Arc::new(read))
            }
            None => None,
        };
        Self::of(own, callers, time).map_err(|error| error.to_string())
    }

    /// Reads the files again, to use them in place of `self`, and says what is wrong with each of them.
    fn read_again(&self, paths: &ClientTlsConfig, time: &WallTime) -> Result<(Self, Problems), TlsError> {
        let mut problems = Problems::default();
        let own = self.own_again(paths, time).unwrap_or_else(|error| {
            problems.add(TlsFile::Cert, &error);
            self.own.clone()
        });
        let callers = match (&paths.ca, &self.callers) {
            (Some(path), Some(before)) => {
                let RereadAuthorities { authorities, ca, crl } =
                    before.read_again(path, paths.crl.as_deref());
                problems.extend(TlsFile::Ca, &ca);
                problems.extend(TlsFile::Crl, &crl);
                Some(Arc::new(authorities))
            }
            // The paths do not change.
            (_, before) => before.clone(),
        };
        Ok((Self::of(own, callers, time)?, problems))
    }

    /// The node's own certificate, if it may be shown in place of the one of before.
    fn own_again(&self, paths: &ClientTlsConfig, time: &WallTime) -> Result<OwnCertificate, TlsFileError> {
        let own = OwnCertificate::read(&paths.cert, &paths.key)?;
        if own.chain() != self.own.chain() {
            own.check_for_server(&paths.cert)?;
            own.may_follow(&self.own, &paths.cert, time.now())?;
        }
        Ok(own)
    }

    fn of(own: OwnCertificate, callers: Option<Arc<Authorities>>, time: &WallTime) -> Result<Self, TlsError> {
        let demanding = match &callers {
            Some(callers) => {
                let admit: Admit = Arc::new(|_: &SpiffeId| Ok(()));
                let time = Arc::new(time.clone());
                Some(assent_tls::mutual_server(&own, callers.clone(), admit, time, ALPN)?)
            }
            None => None,
        };
        let config = assent_tls::server(&own, callers.clone(), Arc::new(time.clone()))?;
        Ok(Self { config, demanding, callers, own })
    }
}
