//! What data channels carry.

use sfu_channel::payload::ppid;
use tokio_util::bytes::Bytes;

/// A message of a data channel: a text or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataMessage {
    ppid: u32,
    payload: Bytes,
}

impl DataMessage {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        // SCTP has no empty messages (RFC 8831, 6.6).
        match text.is_empty() {
            true => Self { ppid: ppid::EMPTY_STRING, payload: Bytes::from_static(b" ") },
            false => Self { ppid: ppid::STRING, payload: text.into() },
        }
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        match bytes.is_empty() {
            true => Self { ppid: ppid::EMPTY_BINARY, payload: Bytes::from_static(&[0]) },
            false => Self { ppid: ppid::BINARY, payload: bytes },
        }
    }

    /// A message as it is on the wire.
    pub(crate) fn from_wire(ppid: u32, payload: Bytes) -> Self {
        Self { ppid, payload }
    }

    /// The payload protocol identifier, which says what it holds (RFC 8831, 8).
    pub fn ppid(&self) -> u32 {
        self.ppid
    }

    /// What is on the wire: one byte for an empty message.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The text; `None` if it is none, or not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self.ppid {
            ppid::STRING => std::str::from_utf8(&self.payload).ok(),
            ppid::EMPTY_STRING => Some(""),
            _ => None,
        }
    }

    /// The bytes, of a text too.
    pub fn as_bytes(&self) -> &[u8] {
        match self.ppid {
            ppid::EMPTY_STRING | ppid::EMPTY_BINARY => &[],
            _ => &self.payload,
        }
    }
}

/// What both ends of a data channel say of it, as the worker has made it; `$made` is where a handle keeps that.
macro_rules! data_accessors {
    ($($made:ident).+) => {
        /// How its messages are carried.
        pub fn data_type(&self) -> sfu_channel::DataType {
            self.$($made).+.data_type
        }

        /// The stream of its messages, over SCTP.
        pub fn sctp_stream_parameters(&self) -> Option<sfu_channel::SctpStreamParameters> {
            self.$($made).+.sctp_stream_parameters
        }

        /// The channel's label.
        pub fn label(&self) -> &str {
            &self.$($made).+.label
        }

        /// The channel's subprotocol.
        pub fn protocol(&self) -> &str {
            &self.$($made).+.protocol
        }
    };
}
pub(crate) use data_accessors;

#[cfg(test)]
mod tests {
    use super::DataMessage;

    #[test]
    fn empty_messages_are_a_byte_on_the_wire_and_empty_to_the_application() {
        for (message, ppid, wire) in [
            (DataMessage::text(""), 56, &b" "[..]),
            (DataMessage::binary(Vec::new()), 57, &[0]),
            (DataMessage::text(" "), 51, b" "),
            (DataMessage::binary(vec![0]), 53, &[0]),
        ] {
            assert_eq!((message.ppid(), &message.payload()[..]), (ppid, wire));
        }
        assert_eq!(DataMessage::text("").as_text(), Some(""));
        assert_eq!(DataMessage::text("ä").as_text(), Some("ä"));
        assert_eq!(DataMessage::text("").as_bytes(), b"");
        assert_eq!(DataMessage::binary(Vec::new()).as_bytes(), b"");
        assert_eq!(DataMessage::binary(vec![7]).as_text(), None);
        assert_eq!(DataMessage::from_wire(51, vec![0xff].into()).as_text(), None, "not UTF-8");
    }
}
