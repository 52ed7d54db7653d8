//! Names of domains and lineages, and tokens: the printable texts that name actions, audiences and
//! environments.

use crate::json::FieldError;
use crate::text::is_printable_ascii;

/// Longest name of a domain or lineage, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 128;

/// Whether `text` is `[a-z0-9][a-z0-9._-]{0,127}`.
fn is_name(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().all(|b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! text_newtype {
    ($(#[$meta:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(FieldError::new("", concat!("must be ", $what)))
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::string_enum::from_text(deserializer, $what)
            }
        }
    };
}

text_newtype!(
    /// The name of a domain: `[a-z0-9][a-z0-9._-]{0,127}`, or the system's `_root`.
    DomainName,
    "a domain's name, `[a-z0-9][a-z0-9._-]{0,127}`",
    |text| is_name(text) || text == DomainName::ROOT
);

impl DomainName {
    const ROOT: &'static str = "_root";

    /// The system's domain, in which the root keys govern and the nodes' keys are granted.
    pub fn root() -> Self {
        DomainName(Self::ROOT.to_owned())
    }

    /// Whether this name is the system's own: it begins with `_`.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('_')
    }
}

text_newtype!(
    /// The name of a lineage: `[a-z0-9][a-z0-9._-]{0,127}`, or the system's `_governance`.
    LineageName,
    "a lineage's name, `[a-z0-9][a-z0-9._-]{0,127}`",
    |text| is_name(text) || text == LineageName::GOVERNANCE
);

impl LineageName {
    const GOVERNANCE: &'static str = "_governance";

    /// The lineage of each domain that holds its governance statements and restrictions.
    pub fn governance() -> Self {
        LineageName(Self::GOVERNANCE.to_owned())
    }

    /// Whether this name is the system's own: it begins with `_`.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('_')
    }
}

text_newtype!(
    /// An action, audience or environment: 1 to 128 printable ASCII characters, compared byte by byte.
    Token,
    "1 to 128 printable ASCII characters",
    |text| is_printable_ascii(text, TOKEN_BYTES_MAX)
);
