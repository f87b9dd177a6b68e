//! Header extensions: where values lie, and what they say.

use sfu_proto::rtp::{
    AbsCaptureTime, AbsSendTime, AudioLevel, ExtensionIds, ExtensionKind, FixedHeader, FrameMarking, Header,
    HeaderWriter, PlayoutDelay, TransmissionOffset, TransportSequence, VideoOrientation, WriteError, parse_extensions,
};

use super::input::Input;

/// The ids of the kinds, one byte each, then a packet.
pub fn header_extensions(data: &[u8]) {
    let mut input = Input::new(data);
    let mut ids = ExtensionIds::new();
    for kind in ExtensionKind::ALL {
        ids.set(kind, input.u8());
    }
    for (kind, id) in ids.iter() {
        assert_eq!((ids.kind(id), ids.id(kind)), (Some(kind), Some(id)));
    }
    let packet = input.rest();
    let Ok(header) = Header::parse(packet) else { return };
    let spans = parse_extensions(packet, &header, &ids);
    let range = header.extension_range();
    let mut values = Vec::new();
    for kind in ExtensionKind::ALL {
        let Some(span) = spans.get(kind) else { continue };
        let id = ids.id(kind).expect("only what has an id is found");
        let place = usize::from(span.offset)..usize::from(span.offset) + usize::from(span.len);
        assert!(range.start < place.start && place.end <= range.end, "{kind:?} at {place:?} in {range:?}");
        let value = spans.value(kind, packet).expect("it lies in the packet");
        assert_eq!(value, &packet[place]);
        decode(kind, value);
        values.push((kind, id, value));
    }
    write(&header, &ids, &values);
}

/// What was found, written anew, is found again.
fn write(header: &Header, ids: &ExtensionIds, values: &[(ExtensionKind, u8, &[u8])]) {
    let fixed = FixedHeader {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence_number: header.sequence_number,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    let mut slot = [0; 4096];
    let mut writer = HeaderWriter::new(&mut slot, &fixed);
    for (_, id, value) in values {
        writer = writer.extension(*id, value);
    }
    let len = writer.finish().expect("twelve values of at most 255 bytes fit");
    let written = Header::parse(&slot[..len]).expect("what is written parses");
    let spans = parse_extensions(&slot[..len], &written, ids);
    for kind in ExtensionKind::ALL {
        let expected = values.iter().find(|(other, _, _)| *other == kind).map(|(_, _, value)| *value);
        assert_eq!(spans.value(kind, &slot), expected, "{kind:?}");
    }
    // In a slot that is a byte short it is refused.
    if let Some(short) = len.checked_sub(1) {
        let mut writer = HeaderWriter::new(&mut slot[..short], &fixed);
        for (_, id, value) in values {
            writer = writer.extension(*id, value);
        }
        assert!(matches!(writer.finish(), Err(WriteError::NoRoom { .. })));
    }
}

/// A value that is read and written is the same, where it has the length that is written.
fn decode(kind: ExtensionKind, value: &[u8]) {
    let encoded = match kind {
        ExtensionKind::AudioLevel => AudioLevel::decode(value).map(|level| level.encode().to_vec()),
        ExtensionKind::AbsSendTime => AbsSendTime::decode(value).map(|time| {
            assert!(time.to_duration().as_secs() < 64);
            time.encode().to_vec()
        }),
        ExtensionKind::TransportWideCc => TransportSequence::decode(value).map(|number| number.encode().to_vec()),
        ExtensionKind::TransmissionOffset => TransmissionOffset::decode(value).map(|offset| offset.encode().to_vec()),
        ExtensionKind::PlayoutDelay => PlayoutDelay::decode(value).map(|delay| delay.encode().to_vec()),
        ExtensionKind::AbsCaptureTime => AbsCaptureTime::decode(value).map(|time| {
            let mut out = [0; 16];
            let len = time.encode(&mut out);
            out[..len].to_vec()
        }),
        ExtensionKind::VideoOrientation => {
            // The upper bits mean nothing, and are not kept.
            if let Some(orientation) = VideoOrientation::decode(value) {
                assert_eq!(VideoOrientation::decode(&orientation.encode()), Some(orientation));
            }
            None
        }
        ExtensionKind::FrameMarking => {
            if let Some(marking) = FrameMarking::decode(value) {
                assert!(marking.temporal_id < 8);
            }
            None
        }
        _ => None,
    };
    if let Some(encoded) = encoded.filter(|encoded| encoded.len() == value.len()) {
        assert_eq!(encoded, value, "{kind:?}");
    }
}
