//! RTCP: compound packets as an iterator of checked views, and functions that append packets to a buffer.
//!
//! ```text
//! |V=2|P|  count  |  packet type  |  length in words - 1          |   then the body
//! ```
//!
//! Reading: [`packets`] walks a datagram. A view that it yields borrows the bytes and was checked to have all that its
//! counts call for. What has no count (the items of SDES, XR's blocks, NACK's and FIR's entries) is read as far as it is
//! whole: the iterators end there, without an error. Packets of unknown types are yielded as [`Packet::Unknown`], a
//! malformed packet as an [`RtcpError`], and the walk goes on after it unless its end is not known.
//!
//! Writing: `write_*` append one packet each to a `Vec<u8>`; [`Compound`] joins them within a limit of size.
//!
//! Not here: SLI, RPSI, TMMBR, loss RLE and the other XR blocks, which are passed over.

mod compound;
mod feedback;
mod ntp;
mod report;
mod sdes;
pub mod transport_cc;
mod xr;

pub use compound::{Compound, Full};
pub use feedback::{Fir, FirEntry, Nack, Pli, Remb, write_fir, write_nack, write_pli, write_remb};
pub use ntp::{Ntp, from_compact, round_trip, to_compact};
pub use report::{
    ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport, write_receiver_report, write_sender_report,
};
pub use sdes::{App, Bye, Sdes, write_bye, write_sdes_cname};
pub use transport_cc::{FeedbackBuilder, LossHistory, TransportCc};
pub use xr::{DlrrItem, DlrrItems, ExtendedReport, XrBlock, write_dlrr, write_rrtr};

/// RTCP packet types.
pub mod packet_type {
    /// Sender report.
    pub const SENDER_REPORT: u8 = 200;
    /// Receiver report.
    pub const RECEIVER_REPORT: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Application-defined.
    pub const APP: u8 = 204;
    /// Transport layer feedback, RTPFB.
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    /// Payload-specific feedback, PSFB.
    pub const PAYLOAD_FEEDBACK: u8 = 206;
    /// Extended report.
    pub const EXTENDED_REPORT: u8 = 207;
}

/// A packet of a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Sender report.
    SenderReport(SenderReport<'a>),
    /// Receiver report.
    ReceiverReport(ReceiverReport<'a>),
    /// Source description.
    Sdes(Sdes<'a>),
    /// Goodbye.
    Bye(Bye<'a>),
    /// Application-defined.
    App(App<'a>),
    /// Generic NACK.
    Nack(Nack<'a>),
    /// Transport-wide congestion control feedback.
    TransportCc(TransportCc<'a>),
    /// Picture loss indication.
    Pli(Pli),
    /// Full intra request.
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate.
    Remb(Remb<'a>),
    /// Extended report.
    ExtendedReport(ExtendedReport<'a>),
    /// A packet type or feedback format that this crate does not look into.
    Unknown {
        /// The packet type.
        packet_type: u8,
        /// The five-bit count, or feedback message type.
        count: u8,
        /// What follows the four bytes of header.
        body: &'a [u8],
    },
}

/// What is wrong with an RTCP packet, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RTCP packet at byte {offset}: {reason}")]
pub struct RtcpError {
    /// Where the packet begins in the compound packet, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub reason: RtcpErrorReason,
}

/// What is wrong with an RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpErrorReason {
    /// Less than a header is left.
    #[error("{0} bytes are no header")]
    Header(usize),
    /// The version is not 2.
    #[error("version {0} is not 2")]
    Version(u8),
    /// The length field says more than there is.
    #[error("type {packet_type} of {needed} bytes in {available}")]
    Length {
        /// The packet type.
        packet_type: u8,
        /// Length in bytes by the length field.
        needed: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// The padding is zero or more than the body.
    #[error("type {packet_type} with {padding} bytes of padding in a body of {body}")]
    Padding {
        /// The packet type.
        packet_type: u8,
        /// The padding length.
        padding: u8,
        /// Length in bytes of the body with the padding.
        body: usize,
    },
    /// The body ends before what the packet's counts call for.
    #[error("type {packet_type} (count or format {count}) ends early: its body has {body} bytes")]
    Body {
        /// The packet type.
        packet_type: u8,
        /// The five-bit count, or feedback message type.
        count: u8,
        /// Length in bytes of the body.
        body: usize,
    },
}

/// Walks the packets of a (decrypted) compound packet.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { datagram, offset: 0 }
}

/// The iterator that [`packets`] returns.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    datagram: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.datagram.get(offset..).filter(|rest| !rest.is_empty())?;
        // A header that can't be trusted for the length ends the walk. What is wrong inside of that length does not.
        self.offset = self.datagram.len();
        let fail = |reason| Some(Err(RtcpError { offset, reason }));
        let Some((&[first, packet_type, high, low], body)) = rest.split_first_chunk() else {
            return fail(RtcpErrorReason::Header(rest.len()));
        };
        if first >> 6 != 2 {
            return fail(RtcpErrorReason::Version(first >> 6));
        }
        let body_len = usize::from(u16::from_be_bytes([high, low])) * 4;
        let Some(mut body) = body.get(..body_len) else {
            let reason = RtcpErrorReason::Length { packet_type, needed: body_len + 4, available: rest.len() };
            return fail(reason);
        };
        self.offset = offset + 4 + body_len;
        if first & 0x20 != 0 {
            let padding = body.last().copied().unwrap_or(0);
            match body.len().checked_sub(usize::from(padding)) {
                Some(unpadded) if padding != 0 => body = &body[..unpadded],
                _ => return fail(RtcpErrorReason::Padding { packet_type, padding, body: body.len() }),
            }
        }
        let count = first & 0x1f;
        match parse_packet(packet_type, count, body) {
            Some(packet) => Some(Ok(packet)),
            None => fail(RtcpErrorReason::Body { packet_type, count, body: body.len() }),
        }
    }
}

fn parse_packet(packet_type: u8, count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let reader = Reader::new(body);
    Some(match (packet_type, count) {
        (packet_type::SENDER_REPORT, _) => Packet::SenderReport(report::parse_sender_report(count, reader)?),
        (packet_type::RECEIVER_REPORT, _) => Packet::ReceiverReport(report::parse_receiver_report(count, reader)?),
        (packet_type::SDES, _) => Packet::Sdes(sdes::parse_sdes(count, reader)?),
        (packet_type::BYE, _) => Packet::Bye(sdes::parse_bye(count, reader)?),
        (packet_type::APP, _) => Packet::App(sdes::parse_app(count, reader)?),
        (packet_type::TRANSPORT_FEEDBACK, feedback::FMT_NACK) => Packet::Nack(feedback::parse_nack(reader)?),
        (packet_type::TRANSPORT_FEEDBACK, transport_cc::FMT) => Packet::TransportCc(transport_cc::parse(reader)?),
        (packet_type::PAYLOAD_FEEDBACK, feedback::FMT_PLI) => Packet::Pli(feedback::parse_pli(reader)?),
        (packet_type::PAYLOAD_FEEDBACK, feedback::FMT_FIR) => Packet::Fir(feedback::parse_fir(reader)?),
        (packet_type::PAYLOAD_FEEDBACK, feedback::FMT_AFB) if feedback::is_remb(body) => {
            Packet::Remb(feedback::parse_remb(reader)?)
        }
        (packet_type::EXTENDED_REPORT, _) => Packet::ExtendedReport(xr::parse(reader)?),
        _ => Packet::Unknown { packet_type, count, body },
    })
}

/// Appends a packet: header, the body that `write_body` appends, zeros up to a whole word, and the length.
fn write_packet(out: &mut Vec<u8>, count: u8, packet_type: u8, write_body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, packet_type, 0, 0]);
    write_body(out);
    let len = (out.len() - start).next_multiple_of(4);
    out.resize(start + len, 0);
    let words = (len / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

/// Reads big-endian fields from the front of bytes.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn remaining(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_compound_packet_is_walked_past_what_is_unknown_or_malformed() {
        let mut bytes = Vec::new();
        write_receiver_report(&mut bytes, 1, &[]);
        write_packet(&mut bytes, 2, packet_type::PAYLOAD_FEEDBACK, |out| out.extend([1; 12]));
        let bad = bytes.len();
        write_packet(&mut bytes, 3, packet_type::RECEIVER_REPORT, |out| out.extend([0; 30]));
        write_pli(&mut bytes, 5, 6);
        let seen: Vec<_> = packets(&bytes).collect();
        assert_eq!(seen.len(), 4);
        assert!(matches!(seen[0], Ok(Packet::ReceiverReport(report)) if report.ssrc == 1));
        assert!(matches!(seen[1], Ok(Packet::Unknown { packet_type: 206, count: 2, body }) if body.len() == 12));
        let reason = RtcpErrorReason::Body { packet_type: 201, count: 3, body: 32 };
        assert_eq!(seen[2], Err(RtcpError { offset: bad, reason }));
        assert_eq!(seen[3], Ok(Packet::Pli(Pli { sender_ssrc: 5, media_ssrc: 6 })));
    }

    #[test]
    fn errors_of_length_say_what_and_where_and_end_the_walk() {
        let mut bytes = Vec::new();
        write_pli(&mut bytes, 5, 6);
        let good = bytes.len();
        bytes.extend([0x81, 206, 0, 2, 0, 0, 0, 1]);
        let errors: Vec<_> = packets(&bytes).filter_map(Result::err).collect();
        let reason = RtcpErrorReason::Length { packet_type: 206, needed: 12, available: 8 };
        assert_eq!(errors, [RtcpError { offset: good, reason }]);
        assert_eq!(errors[0].to_string(), "RTCP packet at byte 12: type 206 of 12 bytes in 8");
        let reason = |bytes: &[u8]| packets(bytes).next().unwrap().unwrap_err().reason;
        assert_eq!(reason(&[0x40, 200, 0, 0]), RtcpErrorReason::Version(1));
        assert_eq!(reason(&[0x80, 200]), RtcpErrorReason::Header(2));
        let padded = [0xa0, 203, 0, 1, 0, 0, 0, 5];
        assert_eq!(reason(&padded), RtcpErrorReason::Padding { packet_type: 203, padding: 5, body: 4 });
        // The packet's end is known all the same.
        let after_padded: Vec<_> =
            packets(&[&padded[..], &bytes[..good]].concat()).map(|packet| packet.is_ok()).collect();
        assert_eq!(after_padded, [false, true]);
        assert!(packets(&[]).next().is_none());
    }

    #[test]
    fn padding_is_cut_off() {
        let bytes = [0xa1, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
        let Ok(Packet::Bye(bye)) = packets(&bytes).next().unwrap() else { panic!() };
        assert_eq!((bye.ssrcs().collect::<Vec<_>>(), bye.reason), (vec![9], None));
    }

    /// Walks everything that a packet offers.
    fn drain(packet: Packet<'_>) {
        match packet {
            Packet::SenderReport(report) => drop(report.blocks.iter().count()),
            Packet::ReceiverReport(report) => drop(report.blocks.iter().count()),
            Packet::Sdes(sdes) => drop(sdes.cnames().count()),
            Packet::Bye(bye) => drop(bye.ssrcs().count()),
            Packet::Nack(nack) => drop(nack.sequence_numbers().count()),
            Packet::TransportCc(feedback) => assert_eq!(feedback.statuses().count(), feedback.status_count.into()),
            Packet::Fir(fir) => drop(fir.entries().count()),
            Packet::Remb(remb) => drop(remb.ssrcs().count()),
            Packet::ExtendedReport(report) => drop(report.blocks().count()),
            Packet::App(_) | Packet::Pli(_) | Packet::Unknown { .. } => {}
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            packets(&bytes).flatten().for_each(drain);
        }

        #[test]
        fn arbitrary_bodies_never_panic(
            packet_type in 200u8..208, count in 0u8..32, body in proptest::collection::vec(any::<u8>(), 0..120)
        ) {
            let mut bytes = Vec::new();
            write_packet(&mut bytes, count, packet_type, |out| out.extend(&body));
            packets(&bytes).flatten().for_each(drain);
            bytes[0] |= 0x20;
            packets(&bytes).flatten().for_each(drain);
        }
    }
}
