//! The parsers of `assent_tls` for PEM files: certificates with their chain, CAs, private keys, and revocation lists.

use std::iter;
use std::slice;
use std::sync::LazyLock;

use assent_fixtures::key;
use assent_proof::encode_base64;
use assent_tls::TlsFileProblem;
use assent_tls::outside::{StatedList, stated_authorities, stated_chain, stated_key, stated_lists};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::judge::{Growth, holds, refused, reread};
use super::parser::{Parser, Reading};
use super::tls::{authority, certificate, pair};

/// PEM written anew: lines of 64 letters, which may have been one.
const PEM: Growth = Growth { times: 2, more: 64 };
/// The most digits of the number of a list, which has at most 20 bytes.
const NUMBER_DIGITS_MAX: usize = 49;

const CERTIFICATE: &str = "CERTIFICATE";
const LIST: &str = "X509 CRL";

/// The seed of the authority's key.
const AUTHORITY: u8 = 40;
/// The seed of the key of a thief, who has no other key.
const THIEF: u8 = 42;

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "certificate_file", check: certificate_file, samples: certificate_files },
    Parser { name: "key_file", check: key_file, samples: key_files },
    Parser { name: "revocation_lists", check: revocation_lists, samples: list_files },
];

/// The file of CAs by which revocation lists are read here.
static CA: LazyLock<Vec<u8>> = LazyLock::new(|| authority_file().unwrap_or_default());
/// The lists that the CA has signed.
static SIGNED: LazyLock<Vec<StatedList>> = LazyLock::new(|| {
    let read = |file: &String| stated_lists(file.as_bytes(), &CA).unwrap_or_default();
    lists(AUTHORITY).unwrap_or_default().iter().flat_map(read).collect()
});

fn certificate_file(bytes: &[u8]) -> Result<Reading, String> {
    match stated_authorities(bytes) {
        Ok(names) => {
            let certificates = stated_chain(bytes).map_or(0, |chain| chain.len());
            holds(names.len() == certificates, "a file of CAs has no other certificate")?;
        }
        Err(problem) => _ = refused(&problem)?,
    }
    reread(bytes, PEM, stated_chain, |chain| pem(CERTIFICATE, chain.iter().map(|one| &**one)))
}

fn key_file(bytes: &[u8]) -> Result<Reading, String> {
    let public = match stated_key(bytes) {
        Ok(public) => public,
        Err(problem) => return refused(&problem),
    };
    let surrounded: [&[u8]; 3] = [b"a comment\n", bytes, b"\nanother\n"];
    let again = stated_key(&surrounded.concat());
    holds(again.is_ok_and(|again| again == public), "text before and after a key changes nothing")?;
    let twice: [&[u8]; 3] = [bytes, b"\n", bytes];
    let refusal = stated_key(&twice.concat());
    holds(
        matches!(refusal, Err(TlsFileProblem::ManyKeys { count: 2 })),
        "a file with two keys is refused, even if they are the same",
    )?;
    Ok(Reading::Accepted)
}

fn revocation_lists(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| stated_lists(bytes, &CA);
    for list in read(bytes).unwrap_or_default() {
        // Numbers are compared by the count of their digits, and then as text.
        let number = list.number.as_deref().unwrap_or("0");
        let plain = number.len() <= NUMBER_DIGITS_MAX && number.bytes().all(|byte| byte.is_ascii_digit());
        holds(plain && (number == "0" || !number.starts_with('0')), "a number is written without zeros")?;
        let alone = read(&pem(LIST, iter::once(list.der.as_slice())));
        holds(alone.is_ok_and(|alone| alone == slice::from_ref(&list)), "a list alone is read the same")?;
        let said = |other: &StatedList| {
            (&other.issuer, &other.number, other.made_at, other.next_update)
                == (&list.issuer, &list.number, list.made_at, list.next_update)
        };
        holds(
            !list.signed || SIGNED.iter().any(said),
            "only a list that the CA has signed counts as signed by it",
        )?;
    }
    reread(bytes, PEM, read, |lists| pem(LIST, lists.iter().map(|list| list.der.as_slice())))
}

/// A PEM file with these sections.
fn pem<'a>(label: &str, sections: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut file = Vec::new();
    for section in sections {
        file.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        for line in encode_base64(section).as_bytes().chunks(64) {
            file.extend_from_slice(line);
            file.push(b'\n');
        }
        file.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    }
    file
}

fn authority_file() -> Result<Vec<u8>, rcgen::Error> {
    Ok(authority()?.self_signed(&pair(AUTHORITY)?)?.pem().into_bytes())
}

fn certificate_files() -> Vec<Vec<u8>> {
    let leaf = certificate(&["spiffe://example.org/slurm/ctl"]).map(|leaf| leaf.pem().into_bytes());
    let leaf = leaf.unwrap_or_default();
    let crlf = String::from_utf8_lossy(&leaf).replace('\n', "\r\n").into_bytes();
    let chain: [&[u8]; 3] = [&leaf, b"# of the authority\n", &CA];
    vec![CA.clone(), chain.concat(), crlf, leaf]
}

fn key_files() -> Vec<Vec<u8>> {
    let (one, other) = (key(3).to_pem().as_str().to_owned(), key(4).to_pem().as_str().to_owned());
    let public = key(3).public().to_pem();
    let (with_public, crlf) = (format!("a comment\n{public}{one}"), one.replace('\n', "\r\n"));
    let texts = [with_public, crlf, format!("{one}{other}"), one, public];
    texts.map(String::into_bytes).into()
}

/// Three files of lists by the holder of this key, in the name of the authority.
fn lists(signer: u8) -> Result<[String; 3], rcgen::Error> {
    let list = |number: u64, revoked: &[u64]| {
        let issuer = Issuer::new(authority()?, pair(signer)?);
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 11, 22),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 11, 22),
            next_update: date_time_ymd(2026, 12, 22),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&issuer)?.pem()
    };
    let (empty, one, many) = (list(1, &[])?, list(255, &[7])?, list(256, &[1, 7, u64::MAX])?);
    Ok([format!("{one}{empty}"), one, many])
}

fn list_files() -> Vec<Vec<u8>> {
    let by_authority = lists(AUTHORITY).into_iter().flatten();
    by_authority.chain(lists(THIEF).into_iter().flatten()).map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if a sample is not read any more, or if a list that a thief has signed counts as the CA's.
    #[test]
    fn the_lists_of_the_authority_are_signed_by_it_and_those_of_a_thief_are_not() {
        let numbers = |signer| {
            let files = lists(signer).unwrap();
            let lists = files.iter().flat_map(|file| stated_lists(file.as_bytes(), &CA).unwrap());
            lists.map(|list| (list.number.unwrap(), list.signed)).collect::<Vec<_>>()
        };
        let with = |signed| ["255", "1", "255", "256"].map(|number| (number.to_owned(), signed)).to_vec();
        assert_eq!(numbers(AUTHORITY), with(true));
        assert_eq!(numbers(THIEF), with(false));
        assert_eq!(SIGNED.len(), 4);
        assert_eq!(list_files(), list_files(), "each call makes the same files");
        for file in list_files() {
            assert_eq!(revocation_lists(&file), Ok(Reading::Accepted));
        }
    }

    /// It fails if the chain or the lines of a file are lost, or if a leaf is taken for a CA.
    #[test]
    fn a_chain_is_read_whole_and_only_a_file_of_cas_is_one() {
        let files = certificate_files();
        let found = files.iter().map(|file| {
            (stated_chain(file).map_or(0, |chain| chain.len()), stated_authorities(file).is_ok())
        });
        assert_eq!(found.collect::<Vec<_>>(), [(1, true), (2, false), (1, false), (1, false)]);
    }

    #[test]
    fn a_file_with_one_key_is_read_whatever_surrounds_it() {
        let readings: Vec<_> = key_files().iter().map(|file| key_file(file)).collect();
        let (accepted, refused) = (Ok(Reading::Accepted), Ok(Reading::Refused));
        assert_eq!(readings, [accepted.clone(), accepted.clone(), refused.clone(), accepted, refused]);
    }
}
