//! Serial numbers of certificates.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// How many bytes the serial number of an issued certificate has.
const BYTES: usize = 16;
/// How many bytes a serial number may have by RFC 5280, §4.1.2.2.
const BYTES_MAX: usize = 20;

/// The serial number of a certificate, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// A new serial number of these random bytes. The first two bits are fixed, so that every number is positive and
    /// has 16 bytes in a certificate. The other 126 bits are random.
    pub(super) fn of_random(random: [u8; BYTES]) -> Self {
        let mut bytes = random;
        let [first, ..] = &mut bytes;
        *first = (*first & 0x7f) | 0x40;
        Serial(bytes.to_vec())
    }

    /// The serial number that a certificate has; none if it has more bytes than any may have.
    pub(super) fn of_certificate(raw: &[u8]) -> Option<Self> {
        (!raw.is_empty() && raw.len() <= BYTES_MAX).then(|| Serial(raw.to_vec()))
    }

    /// The bytes of the number.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Display for Serial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// The text is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number has 2 to 40 hex digits in lower case, two for each byte")]
pub struct SerialError;

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.is_empty() || text.len() > BYTES_MAX.saturating_mul(2) || !text.bytes().all(is_digit) {
            return Err(SerialError);
        }
        hex::decode(text).map(Serial).map_err(|_| SerialError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_of_any_random_bytes_is_positive_and_has_sixteen_bytes() {
        for random in [[0; 16], [0xff; 16], [0x80; 16]] {
            let serial = Serial::of_random(random);
            assert_eq!(serial.bytes().len(), 16);
            assert!((0x40..0x80).contains(&serial.bytes()[0]));
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
    }

    #[test]
    fn a_text_that_is_no_serial_number_is_refused() {
        for text in ["", "0", "0A", "zz", "cert.pem", &"00".repeat(21)] {
            assert_eq!(text.parse::<Serial>(), Err(SerialError), "{text}");
        }
    }
}
