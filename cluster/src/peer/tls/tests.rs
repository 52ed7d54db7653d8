//! The files of `peer_tls` are replaced in any order, by right and by wrong ones. After each reading, real certificates and real
//! handshakes are compared with a model of which peers the node trusts, and which certificate it shows. The model shares no
//! code with the node: it is written from what the documentation promises.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::env::RealClock;

const CLUSTER: [u8; 32] = [7; 32];
/// The CAs that the file of CAs may have.
const CAS: usize = 2;
/// What the CAs are called. The last two have the names of the first two and other keys, and no node ever trusts them.
const NAMES: [&str; 2 * CAS] = ["own", "second", "own", "second"];
/// The serial numbers that a list may revoke: those of peers, and one that a certificate of this node may have.
const SERIALS: [u64; 3] = [21, 22, 32];
const DAY_S: i64 = 86_400;

/// A revocation list under the name of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List {
    number: u64,
    /// Whether it revokes each of the `SERIALS`.
    revokes: [bool; 3],
    /// Its time is over.
    is_over: bool,
    /// Another CA of that name has signed it.
    is_forged: bool,
}

impl List {
    /// Whether it tells what is revoked.
    fn counts(&self) -> bool {
        !self.is_over && !self.is_forged
    }

    fn has(&self, serial: u64) -> bool {
        SERIALS.iter().zip(self.revokes).any(|(listed, is_revoked)| *listed == serial && is_revoked)
    }
}

/// A file that tells nothing.
#[derive(Debug, Clone, Copy)]
enum Unreadable {
    Missing,
    Garbage,
    CutOff,
}

/// What takes the place of the node's certificate and key.
#[derive(Debug, Clone, Copy)]
enum Own {
    /// A new one of this CA.
    Of(usize, u64),
    /// One of a CA that no file of CAs has.
    OfNamesake,
    Expired,
    OfAnotherNode,
    /// With the key of another certificate.
    WithAnotherKey,
    Unreadable(Unreadable),
}

/// What takes the place of a file.
#[derive(Debug, Clone, Copy)]
enum Step {
    Own(Own),
    /// These CAs, and a certificate beside them that is not that of a CA, if so.
    Cas([bool; CAS], bool),
    NoCas(Unreadable),
    /// A list under the name of each CA that has one, and a list that cannot be read beside them, if so.
    Lists([Option<List>; CAS], bool),
    NoLists(Unreadable),
}

fn unreadable() -> impl Strategy<Value = Unreadable> {
    prop::sample::select(vec![Unreadable::Missing, Unreadable::Garbage, Unreadable::CutOff])
}

fn list() -> impl Strategy<Value = Option<List>> {
    (0..8_u8, 1..7_u64, any::<[bool; 3]>()).prop_map(|(kind, number, revokes)| {
        let (is_over, is_forged) = (kind == 1, kind == 2);
        let revokes = if is_over { [false; 3] } else { revokes };
        (kind > 0).then_some(List { number, revokes, is_over, is_forged })
    })
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        6 => (0..CAS, 31..=32_u64).prop_map(|(ca, serial)| Own::Of(ca, serial)),
        1 => prop::sample::select(vec![
            Own::OfNamesake,
            Own::Expired,
            Own::OfAnotherNode,
            Own::WithAnotherKey,
        ]),
        1 => unreadable().prop_map(Own::Unreadable),
    ]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.2)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => own().prop_map(Step::Own),
        4 => (any::<[bool; CAS]>(), rarely()).prop_map(|(cas, other)| Step::Cas(cas, other)),
        1 => unreadable().prop_map(Step::NoCas),
        6 => (list(), list(), rarely()).prop_map(|(own, second, other)| Step::Lists([own, second], other)),
        2 => unreadable().prop_map(Step::NoLists),
    ]
}

/// A certificate of this node that was put into its file, and that this node may show if its CA is trusted.
struct Offer {
    ca: usize,
    serial: u64,
    der: Vec<u8>,
}

/// What the files have, and what a node that follows them must trust and show.
struct Model {
    own: Option<Offer>,
    cas: Option<[bool; CAS]>,
    lists: Option<([Option<List>; CAS], bool)>,

    trusted: [bool; CAS],
    /// The newest list of each CA that was read while it was trusted, so that the node knew that it is the CA's.
    signed: [Option<List>; CAS],
    /// The newest list under the name of each CA of which the node did not know that.
    unproven: [Option<List>; CAS],
    used: [Option<List>; CAS],
    shown: Vec<u8>,
}

impl Model {
    /// The node reads the files.
    fn reads(&mut self) {
        if let Some(cas) = self.cas {
            self.trusted = cas;
        }
        for ca in 0..CAS {
            let before = self.used[ca];
            let offered = match self.lists {
                Some((of, is_damaged)) => of[ca].or(before.filter(|_| is_damaged)),
                None => before,
            };
            self.used[ca] = offered.map(|offered| self.takes(ca, offered));
        }
        if let Some(offer) = &self.own
            && self.may_show(offer)
        {
            self.shown.clone_from(&offer.der);
        }
    }

    /// The list that is used if this one is offered: never an older one than before, and none of another CA in the place of
    /// the CA's own.
    fn takes(&mut self, ca: usize, offered: List) -> List {
        let is_trusted = self.trusted[ca];
        if let Some(signed) = self.signed[ca]
            && is_trusted
            && offered.is_forged
        {
            return signed;
        }
        let is_known = is_trusted && !offered.is_forged;
        let newest = if is_known { self.signed[ca] } else { self.unproven[ca] };
        let taken = newest.filter(|newest| newest.number >= offered.number).unwrap_or(offered);
        if is_trusted && !taken.is_forged {
            self.signed[ca] = Some(taken);
        } else {
            self.unproven[ca] = Some(taken);
        }
        taken
    }

    /// Lists that tell nothing are not held against a certificate of the node's own.
    fn may_show(&self, offer: &Offer) -> bool {
        let is_revoked = self.used[offer.ca].is_some_and(|list| list.counts() && list.has(offer.serial));
        self.trusted[offer.ca] && !is_revoked
    }

    fn trusts(&self, peer: &Peer) -> bool {
        let is_good = |list: List| list.counts() && !list.has(peer.serial);
        peer.is_right && self.trusted[peer.ca] && self.used[peer.ca].is_some_and(is_good)
    }
}

/// A certificate as it is written.
struct Issued {
    pem: String,
    key: String,
    der: Vec<u8>,
}

/// A certificate that dials the node.
struct Peer {
    what: &'static str,
    ca: usize,
    serial: u64,
    /// Whether a node may trust it at all.
    is_right: bool,
    chain: Vec<CertificateDer<'static>>,
    dials: Arc<ClientConfig>,
}

/// The CAs, the peers and the files of the node.
struct World {
    folder: TempDir,
    cas: Vec<CertifiedIssuer<'static, KeyPair>>,
    files: PeerTlsConfig,
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::seconds(seconds)
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn spoil(path: &Path, how: Unreadable, label: &str) {
    match how {
        Unreadable::Missing if path.exists() => fs::remove_file(path).unwrap(),
        Unreadable::Missing => {}
        Unreadable::Garbage => put(path, "no section at all"),
        Unreadable::CutOff => put(path, &format!("-----BEGIN {label}-----\nAAAA\n")),
    }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) = (at(-DAY_S), at(10 * DAY_S));
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let cas = NAMES.iter().map(|name| authority(name)).collect();
        let path = |name: &str| folder.path().join(name);
        let files = PeerTlsConfig {
            cert: path("cert.pem"),
            key: path("key.pem"),
            ca: path("ca.pem"),
            crl: Some(path("crl.pem")),
        };
        Self { folder, cas, files }
    }

    fn issue(&self, ca: usize, (cluster, node): ([u8; 32], u64), serial: u64, until_s: i64) -> Issued {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let id = format!("spiffe://example.org/assent/{}/node/{node}", hex::encode(cluster));
        params.subject_alt_names.push(SanType::URI(id.as_str().try_into().unwrap()));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) = (at(-7_200), at(until_s));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.cas[ca]).unwrap();
        Issued { pem: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    fn list(&self, ca: usize, list: List) -> String {
        let revoked = SERIALS.iter().filter(|serial| list.has(**serial)).map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(-60),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at(-3_600),
            next_update: at(if list.is_over { -60 } else { DAY_S }),
            crl_number: SerialNumber::from(list.number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signer = if list.is_forged { ca + CAS } else { ca };
        params.signed_by(&*self.cas[signer]).unwrap().pem().unwrap()
    }

    /// Two certificates of node 2 by each CA, and one of each kind that no node trusts.
    fn peers(&self) -> Vec<Peer> {
        let right = |ca: usize, serial: u64| ("a right one", ca, (CLUSTER, 2), serial, DAY_S, true);
        let said = [
            right(0, 21),
            right(0, 22),
            right(1, 21),
            right(1, 22),
            ("a namesake's", CAS, (CLUSTER, 2), 23, DAY_S, false),
            ("another cluster's", 0, ([9; 32], 2), 24, DAY_S, false),
            ("this node's own", 0, (CLUSTER, 1), 25, DAY_S, false),
            ("an expired one", 0, (CLUSTER, 2), 26, -60, false),
        ];
        // Each believes the node, whichever of the two CAs has issued what it shows.
        let both = self.folder.path().join("both.pem");
        put(&both, &format!("{}{}", self.cas[0].pem(), self.cas[1].pem()));
        let believed = Arc::new(Authorities::read(&both, None).unwrap());
        let peer = |(what, ca, name, serial, until_s, is_right)| {
            let (cert, key) = (self.folder.path().join("peer.pem"), self.folder.path().join("peer.key"));
            let issued = self.issue(ca, name, serial, until_s);
            put(&cert, &issued.pem);
            put(&key, &issued.key);
            let own = OwnCertificate::read(&cert, &key).unwrap();
            let admit: Admit = Arc::new(|_: &SpiffeId| Ok(()));
            let time = Arc::new(WallTime(Arc::new(RealClock)));
            let dials = mutual_client(&own, believed.clone(), admit, time, ALPN).unwrap();
            Peer { what, ca, serial, is_right, chain: own.chain().to_vec(), dials }
        };
        said.into_iter().map(peer).collect()
    }

    /// Puts a certificate and a key in the place of the node's.
    fn put_own(&self, own: Own) -> Option<Offer> {
        let issued = match own {
            Own::Of(ca, serial) => self.issue(ca, (CLUSTER, 1), serial, DAY_S),
            Own::OfNamesake => self.issue(CAS, (CLUSTER, 1), 33, DAY_S),
            Own::Expired => self.issue(0, (CLUSTER, 1), 34, -60),
            Own::OfAnotherNode => self.issue(0, (CLUSTER, 3), 35, DAY_S),
            Own::WithAnotherKey => {
                let other = self.issue(0, (CLUSTER, 1), 37, DAY_S);
                Issued { key: other.key, ..self.issue(0, (CLUSTER, 1), 36, DAY_S) }
            }
            Own::Unreadable(how) => {
                spoil(&self.files.cert, how, "CERTIFICATE");
                return None;
            }
        };
        put(&self.files.cert, &issued.pem);
        put(&self.files.key, &issued.key);
        match own {
            Own::Of(ca, serial) => Some(Offer { ca, serial, der: issued.der }),
            _ => None,
        }
    }

    fn put_cas(&self, cas: [bool; CAS], with_other: bool) -> Option<[bool; CAS]> {
        let mut text = String::new();
        if with_other {
            text.push_str(&self.issue(0, (CLUSTER, 2), 27, DAY_S).pem);
        }
        for (ca, _) in cas.iter().enumerate().filter(|(_, is_in)| **is_in) {
            text.push_str(&self.cas[ca].pem());
        }
        put(&self.files.ca, &text);
        // A file without any CA is a mistake.
        cas.contains(&true).then_some(cas)
    }

    fn put_lists(&self, of: [Option<List>; CAS], is_damaged: bool) -> Option<([Option<List>; CAS], bool)> {
        let mut text = String::new();
        if is_damaged {
            text.push_str("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
        }
        for (ca, list) in of.iter().enumerate() {
            text.extend(list.map(|list| self.list(ca, list)));
        }
        put(self.crl(), &text);
        (!text.is_empty()).then_some((of, is_damaged))
    }

    fn crl(&self) -> &Path {
        self.files.crl.as_deref().unwrap()
    }

    fn replaces(&self, step: Step, model: &mut Model) {
        match step {
            Step::Own(own) => model.own = self.put_own(own),
            Step::Cas(cas, with_other) => model.cas = self.put_cas(cas, with_other),
            Step::NoCas(how) => {
                spoil(&self.files.ca, how, "CERTIFICATE");
                model.cas = None;
            }
            Step::Lists(of, is_damaged) => model.lists = self.put_lists(of, is_damaged),
            Step::NoLists(how) => {
                spoil(self.crl(), how, "X509 CRL");
                model.lists = None;
            }
        }
    }

    /// Right files, in which only the first CA has a list, and a node that has read them.
    fn starts(&self) -> (PeerTls, Model) {
        let first = List { number: 1, revokes: [false; 3], is_over: false, is_forged: false };
        let own = self.put_own(Own::Of(0, 31));
        let model = Model {
            shown: own.as_ref().unwrap().der.clone(),
            own,
            cas: self.put_cas([true; CAS], false),
            lists: self.put_lists([Some(first), None], false),
            trusted: [true; CAS],
            signed: [Some(first), None],
            unproven: [None; CAS],
            used: [Some(first), None],
        };
        let tls = PeerTls::load(self.files.clone(), CLUSTER, 1, Arc::new(RealClock)).unwrap();
        (tls, model)
    }
}

/// Whether the node lets the peer in, and the certificate that it has shown to the peer.
async fn shake(tls: &PeerTls, peer: &Peer) -> (bool, Vec<u8>) {
    let (near, far) = tokio::io::duplex(1 << 17);
    let connector = TlsConnector::from(peer.dials.clone());
    let (accepted, dialed) = tokio::join!(tls.accept(Box::new(near)), connector.connect(unused_name(), far));
    // A peer has made its part of a handshake before the node judges it.
    let dialed = dialed.unwrap();
    let shown = dialed.get_ref().1.peer_certificates().unwrap();
    (accepted.is_ok(), shown[0].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Each step replaces a file, and the node reads its files after most of the steps. It fails if a bad file withdraws or
    /// extends trust, if a good one does not, if an older list or one of another CA counts, if a connection outlives the trust
    /// in its certificate, or if the node shows another certificate than the last right one.
    #[test]
    fn whatever_replaces_the_files_a_node_trusts_and_shows_what_they_say(
        steps in prop::collection::vec((step(), prop::bool::weighted(0.8), 0..8_usize), 1..12)
    ) {
        let world = World::new();
        let (tls, mut model) = world.starts();
        let peers = world.peers();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (number, (step, is_read, dialer)) in steps.iter().enumerate() {
            world.replaces(*step, &mut model);
            if !is_read {
                continue;
            }
            tls.reread();
            model.reads();
            for peer in &peers {
                // As if the peer had connected before.
                let (chain, shown_by) = (peer.chain.clone(), Side::Client);
                let found = tls.check(&Proven { node: 2, chain, shown_by, issue: 0 });
                prop_assert_eq!(
                    found.is_ok(),
                    model.trusts(peer),
                    "step {}: {} of `{}` with number {}: {:?}",
                    number,
                    peer.what,
                    NAMES[peer.ca],
                    peer.serial,
                    found
                );
            }
            let peer = &peers[*dialer];
            let (is_in, shown) = runtime.block_on(shake(&tls, peer));
            prop_assert_eq!(is_in, model.trusts(peer), "step {}: {} dials", number, peer.what);
            prop_assert_eq!(&shown, &model.shown, "step {}: another certificate is shown", number);
        }
    }
}
