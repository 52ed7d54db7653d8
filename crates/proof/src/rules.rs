//! The versions of the rules, and what verifies and what parses under each.
//!
//! A replica judges an envelope by the version of the rules that the registry's state follows, never by the
//! newest one that its build knows: verification is a rule like any other. Old versions stay here for good,
//! because each leaf of a ledger is verified under the rules that it was accepted under. To change what
//! verifies or parses: add a field to [`Rules`], give it the old behaviour in the existing versions, and the
//! new behaviour in a new version. The vectors in `vectors/hostile.json` say for each version what it
//! accepts.

use crate::text::Source;
use std::fmt;

/// A version of the rules, whether or not this build knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesVersion(pub u32);

impl RulesVersion {
    /// The version that every registry begins with, whichever build founds it.
    pub const GENESIS: RulesVersion = RulesVersion(1);

    /// The newest version that this build knows.
    pub const NEWEST: RulesVersion = RulesVersion(1);

    /// A version that is in no release. Tests raise the rules to it.
    #[cfg(feature = "test-rules")]
    pub const TEST: RulesVersion = RulesVersion(2);
}

impl fmt::Display for RulesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version of the rules that this build knows. The fields are the differences between the versions;
/// everything else is the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    version: RulesVersion,
    /// A second `payloadType` that a statement may have.
    pub(crate) other_payload_type: Option<&'static str>,
    /// Whether each signature must carry its key id.
    pub(crate) signature_needs_keyid: bool,
    /// Whether an audit event must carry `detail`.
    pub(crate) audit_event_needs_detail: bool,
    /// Whether names and details are judged as text from outside. This differs in no version: see
    /// [`Rules::stored`].
    pub(crate) text: Source,
}

impl Rules {
    /// The rules that every registry begins with.
    pub const GENESIS: Rules = Rules {
        version: RulesVersion::GENESIS,
        other_payload_type: None,
        signature_needs_keyid: false,
        audit_event_needs_detail: false,
        text: Source::Outside,
    };

    /// The newest rules that this build knows.
    pub const NEWEST: Rules = Rules::GENESIS;

    /// Rules that are in no release. Tests raise the rules to them.
    #[cfg(feature = "test-rules")]
    pub const TEST: Rules = Rules {
        version: RulesVersion::TEST,
        other_payload_type: Some("application/vnd.in-toto.test+json"),
        signature_needs_keyid: true,
        audit_event_needs_detail: true,
        text: Source::Outside,
    };

    /// The rules of a version; `None` if this build does not know it.
    pub fn of(version: RulesVersion) -> Option<Self> {
        Self::all().find(|rules| rules.version == version)
    }

    /// Every version that this build knows, the oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        let versions = [
            Self::GENESIS,
            #[cfg(feature = "test-rules")]
            Self::TEST,
        ];
        versions.into_iter()
    }

    /// Every version before this one, the oldest first.
    pub fn earlier(self) -> impl DoubleEndedIterator<Item = Self> {
        Self::all().filter(move |rules| rules.version < self.version)
    }

    /// These rules, for reading again what the registry accepted under them. Until release 0.1.0, version 1
    /// accepted names and details with characters that terminals obey. Stored text of this kind stays
    /// readable; new text of this kind is refused.
    #[must_use]
    pub fn stored(self) -> Self {
        Rules { text: Source::Stored, ..self }
    }

    /// The version.
    pub fn version(self) -> RulesVersion {
        self.version
    }
}
