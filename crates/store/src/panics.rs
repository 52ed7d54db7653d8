//! What a panic says.

use std::any::Any;

/// The text of a panic, as it was caught.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&'static str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "it says nothing".to_owned(),
    }
}
