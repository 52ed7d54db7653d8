//! The strict reader of one object. Every error names its field, and a field that was not read is an error.

use super::field_error::FieldError;
use super::value::Json;
use crate::text::shown;
use std::str::FromStr;

/// A strict reader of one object's fields. `null` counts as absent for the `opt_` readers and as wrong for
/// the others.
#[derive(Debug)]
pub struct Fields<'a> {
    fields: &'a [(String, Json)],
    read: Vec<bool>,
    path: String,
}

impl<'a> Fields<'a> {
    /// Starts to read `value`, which stands at `path` (empty for the whole input) and must be an object.
    pub fn of(value: &'a Json, path: impl Into<String>) -> Result<Self, FieldError> {
        let path = path.into();
        match value.as_object() {
            Some(fields) => Ok(Fields { fields, read: vec![false; fields.len()], path }),
            None => Err(wrong(path, "an object", value)),
        }
    }

    /// The path of the field `name` of this object.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field `name` as it is; it must be present, and may be `null`.
    pub fn value(&mut self, name: &str) -> Result<&'a Json, FieldError> {
        self.take(name).ok_or_else(|| FieldError::new(self.path_of(name), "is missing"))
    }

    /// The field `name`, unless it is absent or `null`.
    pub fn opt_value(&mut self, name: &str) -> Option<&'a Json> {
        self.take(name).filter(|value| !matches!(value, Json::Null))
    }

    /// Whether the field `name` is present, even as `null`. Asking does not count as reading the field.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Result<&'a str, FieldError> {
        let value = self.value(name)?;
        value.as_str().ok_or_else(|| wrong(self.path_of(name), "a string", value))
    }

    /// A string, or none.
    pub fn opt_text(&mut self, name: &str) -> Result<Option<&'a str>, FieldError> {
        self.opt(name, "a string", Json::as_str)
    }

    /// A string that `T` can be read from.
    pub fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T, FieldError>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(name)?;
        parse_at(self.path_of(name), text)
    }

    /// A string that `T` can be read from, or none.
    pub fn opt_parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, FieldError>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.opt_text(name)?;
        text.map(|text| parse_at(self.path_of(name), text)).transpose()
    }

    /// An integer.
    pub fn int(&mut self, name: &str) -> Result<i64, FieldError> {
        let value = self.value(name)?;
        value.as_i64().ok_or_else(|| wrong(self.path_of(name), "an integer", value))
    }

    /// An integer, or none.
    pub fn opt_int(&mut self, name: &str) -> Result<Option<i64>, FieldError> {
        self.opt(name, "an integer", Json::as_i64)
    }

    /// An integer from `min` to `max`, both included, or none.
    pub fn opt_int_within(&mut self, name: &str, min: u32, max: u32) -> Result<Option<u32>, FieldError> {
        let Some(value) = self.opt_int(name)? else { return Ok(None) };
        match u32::try_from(value) {
            Ok(value) if value >= min && value <= max => Ok(Some(value)),
            _ => Err(FieldError::new(
                self.path_of(name),
                format!("must lie from {min} to {max}, not `{value}`"),
            )),
        }
    }

    /// An integer from `min` to `max`, both included.
    pub fn int_within(&mut self, name: &str, min: u32, max: u32) -> Result<u32, FieldError> {
        self.int(name)?;
        self.opt_int_within(name, min, max)?.ok_or_else(|| FieldError::new(self.path_of(name), "is missing"))
    }

    /// A boolean, or none.
    pub fn opt_bool(&mut self, name: &str) -> Result<Option<bool>, FieldError> {
        self.opt(name, "a boolean", Json::as_bool)
    }

    /// An array.
    pub fn array(&mut self, name: &str) -> Result<&'a [Json], FieldError> {
        let value = self.value(name)?;
        value.as_array().ok_or_else(|| wrong(self.path_of(name), "an array", value))
    }

    /// An array, or none.
    pub fn opt_array(&mut self, name: &str) -> Result<Option<&'a [Json]>, FieldError> {
        self.opt(name, "an array", Json::as_array)
    }

    /// An array of strings that `T` can be read from, at most `len_max` of them.
    pub fn list<T: FromStr>(&mut self, name: &str, len_max: usize) -> Result<Vec<T>, FieldError>
    where
        T::Err: std::fmt::Display,
    {
        let items = self.array(name)?;
        list_at(&self.path_of(name), items, len_max)
    }

    /// An array of strings that `T` can be read from, at most `len_max` of them, or none.
    pub fn opt_list<T: FromStr>(&mut self, name: &str, len_max: usize) -> Result<Option<Vec<T>>, FieldError>
    where
        T::Err: std::fmt::Display,
    {
        let items = self.opt_array(name)?;
        items.map(|items| list_at(&self.path_of(name), items, len_max)).transpose()
    }

    /// An object, to be read with a reader of its own.
    pub fn object(&mut self, name: &str) -> Result<Fields<'a>, FieldError> {
        let value = self.value(name)?;
        Fields::of(value, self.path_of(name))
    }

    /// Ends the reading. A field that was not read is unknown, and an unknown field is an error.
    pub fn finish(self) -> Result<(), FieldError> {
        match self.fields.iter().zip(&self.read).find(|(_, read)| !**read) {
            Some(((name, _), _)) => Err(FieldError::new(self.path_of(&shown(name)), "is an unknown field")),
            None => Ok(()),
        }
    }

    /// Ends the reading and ignores the other fields, for public formats that demand it.
    pub fn ignore_rest(self) {}

    fn take(&mut self, name: &str) -> Option<&'a Json> {
        let at = self.fields.iter().position(|(key, _)| key == name)?;
        if let Some(read) = self.read.get_mut(at) {
            *read = true;
        }
        self.fields.get(at).map(|(_, value)| value)
    }

    fn opt<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.opt_value(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong(self.path_of(name), what, value))
    }
}

fn wrong(path: String, expected: &str, found: &Json) -> FieldError {
    FieldError::new(path, format!("must be {expected}, not {}", found.what()))
}

fn parse_at<T: FromStr>(path: String, text: &str) -> Result<T, FieldError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|problem: T::Err| FieldError::new(path, problem.to_string()))
}

fn list_at<T: FromStr>(path: &str, items: &[Json], len_max: usize) -> Result<Vec<T>, FieldError>
where
    T::Err: std::fmt::Display,
{
    if items.len() > len_max {
        return Err(FieldError::new(path, format!("has `{}` entries, more than {len_max}", items.len())));
    }
    let read = |(i, item): (usize, &Json)| {
        let path = format!("{path}[{i}]");
        let text = item.as_str().ok_or_else(|| wrong(path.clone(), "a string", item))?;
        parse_at(path, text)
    };
    items.iter().enumerate().map(read).collect()
}
