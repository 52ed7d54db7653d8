//! The error of a strict reader: which field is wrong, and what is wrong with it.

/// What is wrong with one field of an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if .field.is_empty() { String::new() } else { format!("`{}` ", .field) })]
pub struct FieldError {
    /// Path of the field, such as `predicate.claims.actions[2]`; empty for the input as a whole.
    pub field: String,
    /// What is wrong with it: lower case, no full stop, reads on after the field's name.
    pub problem: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        FieldError { field: field.into(), problem: problem.into() }
    }

    /// The same problem at another path, for a value whose parser does not know where the value stands.
    pub fn moved_to(self, field: impl Into<String>) -> Self {
        FieldError { field: field.into(), problem: self.problem }
    }
}
