//! Why an input was refused: a stable code, the field at fault and a sentence.

use crate::code::Code;
use crate::json::FieldError;
use serde::{Deserialize, Serialize};

/// Why a submission or another input was refused.
///
/// Stored and sent positionally as `[code, field, detail]`; the order of the fields is part of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {}{detail}", .field.as_deref().map(|f| format!("`{f}` ")).unwrap_or_default())]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// Path of the field at fault, such as `predicate.claims.actions[2]`; absent when the whole input is.
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

    /// A field's error under `code`.
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
