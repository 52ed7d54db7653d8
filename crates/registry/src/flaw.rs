//! What a rule answers that finds something wrong.

use assent_proof::Code;

/// Why something does not count: a code and a sentence.
pub(crate) type Flaw = (Code, String);
