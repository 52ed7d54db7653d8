//! The parsers of `assent_tls`: SPIFFE ids, and the id among the names of a certificate.

use assent_fixtures::key;
use assent_tls::{NodeName, SpiffeId, stated_id};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};

use super::judge::{holds, one_spelling, refused};
use super::parser::{Parser, Reading};

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "spiffe_id", check: spiffe_id, samples: ids },
    Parser { name: "certificate_id", check: certificate_id, samples: certificates },
];

fn spiffe_id(bytes: &[u8]) -> Result<Reading, String> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(id) = SpiffeId::parse(text)
    {
        let parts = format!("spiffe://{}{}", id.trust_domain(), id.path());
        holds(parts == text, "an id is its trust domain and its path")?;
        match NodeName::of(&id) {
            Ok(name) => holds(name.to_id() == id, "the id of a node has one spelling")?,
            Err(error) => refused(&error).map(|_| ())?,
        }
    }
    one_spelling(bytes, SpiffeId::parse)
}

fn certificate_id(bytes: &[u8]) -> Result<Reading, String> {
    let id = match stated_id(bytes) {
        Ok(id) => id,
        Err(error) => return refused(&error),
    };
    let again = SpiffeId::parse(id.as_str());
    holds(again.is_ok_and(|again| again == id), "the id of a certificate is a SPIFFE id")?;
    let text = id.as_str().as_bytes();
    // An id is never empty.
    holds(bytes.windows(text.len()).any(|part| part == text), "the id stands in the certificate")?;
    let longer = [bytes, &[0]].concat();
    holds(stated_id(&longer).is_err(), "no byte follows a certificate")?;
    Ok(Reading::Accepted)
}

fn node() -> String {
    format!("spiffe://example.org/assent/{}/node/1", "ab".repeat(32))
}

fn ids() -> Vec<Vec<u8>> {
    let longest = format!("spiffe://{}/{}", "a".repeat(255), "b".repeat(2048 - 265));
    let texts = [
        "spiffe://example.org/slurm/ctl",
        "spiffe://example.org",
        "spiffe://a_b-1.c/A.b-c_1/..x",
        "spiffe://example.org/assent/x/node/01",
        "spiffe://example.org:80/a",
        "https://example.org/",
    ];
    let texts = texts.into_iter().map(str::to_owned).chain([node(), longest]);
    texts.map(String::into_bytes).collect()
}

/// Certificates as authorities issue them. Keys, times and serial numbers are fixed, and Ed25519 signs the same bytes in the
/// same way, so each call makes the same certificates.
fn certificates() -> Vec<Vec<u8>> {
    let node = node();
    let (caller, web) = ("spiffe://example.org/slurm/ctl", "https://example.org/");
    let uris: [&[&str]; 5] = [&[node.as_str()], &[caller], &[], &[caller, caller], &[web]];
    let mut made: Vec<Vec<u8>> = uris.iter().filter_map(|uris| leaf(uris).ok()).collect();
    made.extend(authority().and_then(|params| Ok(params.self_signed(&pair(40)?)?.der().to_vec())));
    made
}

/// The key pair of this seed.
pub(super) fn pair(seed: u8) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_pem_and_sign_algo(&key(seed).to_pem(), &PKCS_ED25519)
}

/// What the certificate of the authority says.
pub(super) fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(1_u64));
    params.distinguished_name.push(DnType::CommonName, "an authority");
    Ok(params)
}

fn leaf(uris: &[&str]) -> Result<Vec<u8>, rcgen::Error> {
    Ok(certificate(uris)?.der().to_vec())
}

/// A certificate with these ids, by the authority whose key is `pair(40)`.
pub(super) fn certificate(uris: &[&str]) -> Result<Certificate, rcgen::Error> {
    let issuer = Issuer::new(authority()?, pair(40)?);
    let names = vec!["node-1.example.org".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut params = CertificateParams::new(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(7_u64));
    params.distinguished_name.push(DnType::CommonName, "a node");
    params.subject_alt_names.push(SanType::Rfc822Name("ops@example.org".try_into()?));
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
    }
    params.signed_by(&pair(41)?, &issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_certificates_are_made_each_time_and_their_ids_are_read() {
        let made = certificates();
        assert_eq!(made.len(), 6);
        assert_eq!(made, certificates());
        assert_eq!(stated_id(&made[0]).unwrap().as_str(), node());
        assert_eq!(stated_id(&made[1]).unwrap().as_str(), "spiffe://example.org/slurm/ctl");
        for wrong in &made[2..] {
            assert_eq!(certificate_id(wrong), Ok(Reading::Refused));
        }
    }

    #[test]
    fn the_longest_id_is_a_sample() {
        let longest = ids().into_iter().max_by_key(Vec::len).unwrap();
        assert_eq!(longest.len(), 2048);
        assert_eq!(spiffe_id(&longest), Ok(Reading::Accepted));
    }
}
