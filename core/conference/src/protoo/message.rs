//! One protoo message as text, and back.
//!
//! Parsing is as lenient as protoo's own: the kind is chosen by truthiness in the order request, response,
//! notification, and absent or falsy `data` is `{}`. What is left over is malformed, and earns no reply.

use serde_json::{Map, Number, Value, json};
use thiserror::Error;

/// The largest message that is read, in bytes.
pub const MAX_MESSAGE_SIZE: usize = 960_000;

/// A message that came from the other side.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// It wants a response with the same id.
    Request {
        /// Chosen by the sender, and echoed as it came.
        id: Number,
        /// What it asks for.
        method: String,
        /// The arguments: an object, or rarely an array.
        data: Value,
    },
    /// The answer to a request of ours.
    Response {
        /// The request's id.
        id: Number,
        /// What the other side says.
        result: Result<Value, ErrorResponse>,
    },
    /// It wants no response.
    Notification {
        /// What happened.
        method: String,
        /// The particulars.
        data: Value,
    },
}

/// A request that the other side refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{reason} ({code})")]
pub struct ErrorResponse {
    /// `errorCode`, in the manner of HTTP status codes.
    pub code: i64,
    /// `errorReason`, a sentence.
    pub reason: String,
}

/// Why a text is no protoo message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another type.
    #[error("not an object")]
    NotAnObject,
    /// None of the three kinds is true.
    #[error("none of request, response, notification is true")]
    NoKind,
    /// `id` is absent or not a number.
    #[error("field \"id\" is not a number")]
    BadId,
    /// `method` is absent or not a string.
    #[error("field \"method\" is not a string")]
    BadMethod,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the text is none; the sender is not told.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let value: Value = serde_json::from_str(text).map_err(|error| Malformed::NotJson(error.to_string()))?;
        let Value::Object(mut fields) = value else { return Err(Malformed::NotAnObject) };
        if is_true(fields.get("request")) {
            Ok(Self::Request { id: id(&fields)?, method: method(&fields)?, data: data(&mut fields) })
        } else if is_true(fields.get("response")) {
            let id = id(&fields)?;
            let result = if is_true(fields.get("ok")) {
                Ok(data(&mut fields))
            } else {
                Err(ErrorResponse {
                    code: fields.get("errorCode").and_then(Value::as_i64).unwrap_or(500),
                    reason: fields.get("errorReason").and_then(Value::as_str).unwrap_or("no reason given").to_owned(),
                })
            };
            Ok(Self::Response { id, result })
        } else if is_true(fields.get("notification")) {
            Ok(Self::Notification { method: method(&fields)?, data: data(&mut fields) })
        } else {
            Err(Malformed::NoKind)
        }
    }

    /// Writes the message.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Request { id, method, data } => json!({"request": true, "id": id, "method": method, "data": data}),
            Self::Response { id, result: Ok(data) } => json!({"response": true, "id": id, "ok": true, "data": data}),
            Self::Response { id, result: Err(error) } => {
                json!({"response": true, "id": id, "errorCode": error.code, "errorReason": error.reason})
            }
            Self::Notification { method, data } => json!({"notification": true, "method": method, "data": data}),
        }
        .to_string()
    }
}

/// What JavaScript takes for true.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
    }
}

fn id(fields: &Map<String, Value>) -> Result<Number, Malformed> {
    fields.get("id").and_then(Value::as_number).cloned().ok_or(Malformed::BadId)
}

fn method(fields: &Map<String, Value>) -> Result<String, Malformed> {
    fields.get("method").and_then(Value::as_str).map(str::to_owned).ok_or(Malformed::BadMethod)
}

fn data(fields: &mut Map<String, Value>) -> Value {
    match fields.remove("data") {
        value if !is_true(value.as_ref()) => Value::Object(Map::new()),
        value => value.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(id: u32, method: &str, data: Value) -> Message {
        Message::Request { id: id.into(), method: method.into(), data }
    }

    #[test]
    fn a_request_is_read() {
        let text = r#"{"request":true,"id":7,"method":"join","data":{"displayName":"Ada"}}"#;
        assert_eq!(Message::parse(text), Ok(request(7, "join", json!({"displayName": "Ada"}))));
    }

    #[test]
    fn absent_and_falsy_data_is_an_empty_object() {
        for data in ["", r#","data":null"#, r#","data":false"#, r#","data":0"#, r#","data":"""#] {
            let text = format!(r#"{{"request":true,"id":7,"method":"m"{data}}}"#);
            assert_eq!(Message::parse(&text), Ok(request(7, "m", json!({}))), "{text}");
        }
    }

    #[test]
    fn the_kind_is_chosen_by_truthiness_and_order() {
        let text = r#"{"request":1,"response":true,"notification":true,"id":7,"method":"m"}"#;
        assert_eq!(Message::parse(text), Ok(request(7, "m", json!({}))));
        let text = r#"{"request":0,"notification":"yes","method":"m"}"#;
        assert_eq!(Message::parse(text), Ok(Message::Notification { method: "m".into(), data: json!({}) }));
    }

    #[test]
    fn a_response_without_ok_is_an_error() {
        let text = r#"{"response":true,"id":3,"errorCode":403,"errorReason":"I do not want to consume"}"#;
        let error = ErrorResponse { code: 403, reason: "I do not want to consume".into() };
        assert_eq!(Message::parse(text), Ok(Message::Response { id: 3.into(), result: Err(error) }));
    }

    #[test]
    fn an_array_is_good_data() {
        let text = r#"{"response":true,"id":3,"ok":true,"data":[{"a":1}]}"#;
        assert_eq!(Message::parse(text), Ok(Message::Response { id: 3.into(), result: Ok(json!([{"a": 1}])) }));
    }

    #[test]
    fn an_error_response_has_no_ok_field() {
        let error = ErrorResponse { code: 400, reason: "no".into() };
        let text = Message::Response { id: 3.into(), result: Err(error) }.to_text();
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value, json!({"response": true, "id": 3, "errorCode": 400, "errorReason": "no"}));
    }

    #[test]
    fn what_is_malformed_says_why() {
        assert!(matches!(Message::parse("{"), Err(Malformed::NotJson(_))));
        for text in ["null", "[]", "7", "\"text\""] {
            assert_eq!(Message::parse(text), Err(Malformed::NotAnObject), "{text}");
        }
        assert_eq!(Message::parse("{}"), Err(Malformed::NoKind));
        assert_eq!(Message::parse(r#"{"request":true,"id":"7","method":"m"}"#), Err(Malformed::BadId));
        assert_eq!(Message::parse(r#"{"request":true,"id":7}"#), Err(Malformed::BadMethod));
        assert_eq!(Message::parse(r#"{"request":true,"id":7,"method":5}"#), Err(Malformed::BadMethod));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = Message::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(id in any::<u32>(), method in ".*", key in ".*", value in ".+") {
            let data = json!({key: value});
            for message in [
                request(id, &method, data.clone()),
                Message::Response { id: id.into(), result: Ok(data.clone()) },
                Message::Response { id: id.into(), result: Err(ErrorResponse { code: 500, reason: method.clone() }) },
                Message::Notification { method: method.clone(), data: data.clone() },
            ] {
                prop_assert_eq!(Message::parse(&message.to_text()), Ok(message));
            }
        }
    }
}
