//! The answer of a rule that finds something wrong (RFC-EG-033 §4, failure conditions).

use assent_proof::Code;

/// Why something does not count: a code and a sentence.
pub(crate) type Flaw = (Code, String);
