//! Why an input was refused: a stable code, the field at fault and a sentence.

use crate::code::Code;
use crate::json::FieldError;
use serde::{Deserialize, Serialize};

/// How a field begins that names another envelope of the same batch.
const BATCH_FIELD: &str = "envelopes[";

/// Why a submission or another input was refused.
///
/// Stored and sent positionally as `[code, field, detail]`; the order of the fields is part of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {}{detail}", .field.as_deref().map(|f| format!("`{f}` ")).unwrap_or_default())]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// Path of the field at fault, such as `predicate.claims.actions[2]`; absent if the whole input is at
    /// fault.
    pub field: Option<String>,
    /// One sentence for people: lower case, no full stop.
    pub detail: String,
}

impl Refusal {
    /// A refusal of the input as a whole.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal { code, field: None, detail: detail.into() }
    }

    /// A refusal that names the field at fault.
    pub fn at(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Refusal { code, field: Some(field.into()), detail: detail.into() }
    }

    /// The refusal of an envelope whose all-or-nothing batch fails because of another envelope. That one
    /// stands at `place` of the batch, counted from 0, and `cause` is its refusal. As far as this envelope
    /// was looked at, nothing is wrong with it. The refusal has the code of `cause`, and so the same status.
    /// Its field is `envelopes[<place>]`, which is no field of an envelope.
    pub fn of_batch(place: usize, cause: &Refusal) -> Self {
        let detail = format!(
            "nothing is wrong with this envelope as far as it was looked at, and this batch did not record it, because envelope \
             `{place}` of the batch was refused and the mode is `all`: {}",
            cause.detail
        );
        Refusal::at(cause.code, format!("{BATCH_FIELD}{place}]"), detail)
    }

    /// Whether a refusal at this field is due to another envelope of the same batch ([`Refusal::of_batch`]).
    pub fn is_field_of_batch(field: &str) -> bool {
        field.starts_with(BATCH_FIELD)
    }

    /// The refusal of a field's error with this code.
    pub fn of_field(code: Code, error: FieldError) -> Self {
        let FieldError { field, problem } = error;
        Refusal { code, field: (!field.is_empty()).then_some(field), detail: problem }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Refusal::of_field(Code::Malformed, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_good_envelope_names_the_one_that_failed_its_batch() {
        let cause = Refusal::at(Code::SignatureInvalid, "signatures", "does not verify");
        let refusal = Refusal::of_batch(3, &cause);
        assert_eq!((refusal.code, refusal.field.as_deref()), (Code::SignatureInvalid, Some("envelopes[3]")));
        assert!(refusal.detail.starts_with("nothing is wrong with this envelope"), "{refusal}");
        assert!(refusal.detail.ends_with(": does not verify"), "{refusal}");
        assert!(Refusal::is_field_of_batch("envelopes[3]") && !Refusal::is_field_of_batch("envelopes"));
    }
}
