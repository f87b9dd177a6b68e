//! Reading typed structs out of JSON, so that an error names the member that is wrong.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// What is wrong with which member of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldError {
    /// The member's path, such as `listenIps[0].ip`; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// It is not there.
    Missing,
    /// It is of another JSON type; the text says which is there and which should be.
    WrongType(String),
    /// It is of the right type, but out of range or not one of the known names; the text says so.
    WrongValue(String),
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "data" } else { &self.field };
        match &self.problem {
            FieldProblem::Missing => write!(f, "missing field {field}"),
            FieldProblem::WrongType(detail) => write!(f, "wrong type of field {field}: {detail}"),
            FieldProblem::WrongValue(detail) => write!(f, "wrong value of field {field}: {detail}"),
        }
    }
}

impl FieldError {
    pub(super) fn missing(field: impl Into<String>) -> Self {
        Self { field: field.into(), problem: FieldProblem::Missing }
    }

    pub(super) fn wrong_value(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), problem: FieldProblem::WrongValue(detail.into()) }
    }
}

/// Reads a struct.
pub fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        // The root is shown as a dot.
        let path = if path == "." { String::new() } else { path };
        explain(path, &error.into_inner().to_string())
    })
}

/// Sorts serde's messages, and brings a missing member's name from the message into the path.
fn explain(path: String, message: &str) -> FieldError {
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let field = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        return FieldError::missing(field);
    }
    let problem = match message.strip_prefix("invalid type: ") {
        Some(detail) => FieldProblem::WrongType(detail.to_owned()),
        None => FieldProblem::WrongValue(message.strip_prefix("invalid value: ").unwrap_or(message).to_owned()),
    };
    FieldError { field: path, problem }
}
