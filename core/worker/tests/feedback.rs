//! What the worker says by RTCP and in header extensions: to senders about what has come, to receivers about what was sent.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::media::*;
use common::{PATIENCE, Worker};
use openssl::base64;
use serde_json::{Value, json};
use sfu_proto::rtcp::{
    self, FeedbackBuilder, Ntp, Packet, ReportBlock, SenderInfo, XrBlock, write_rrtr, write_sender_report,
};
use sfu_proto::rtp::AbsSendTime;
use sfu_proto::srtp::{Backend, Sender, Suite};

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const ORIENTATION: &str = "urn:3gpp:video-orientation";

/// The request, with these header extensions and one more kind of feedback.
fn negotiated(mut request: Value, extensions: &[(&str, u8)], feedback: Value) -> Value {
    let extensions = extensions.iter().map(|(uri, id)| json!({"uri": uri, "id": id}));
    request["rtpParameters"]["headerExtensions"] = extensions.collect();
    request["rtpParameters"]["codecs"][0]["rtcpFeedback"].as_array_mut().unwrap().push(feedback);
    request
}

/// Reads RTCP at a peer until `find` has found what it looks for.
fn wait_for<T>(peer: &Peer, mut find: impl FnMut(&Packet<'_>) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let datagram = peer.receive();
        if is_rtcp(&datagram)
            && let Some(found) = rtcp::packets(&datagram).find_map(|packet| find(&packet.expect("good RTCP")))
        {
            return found;
        }
    }
    panic!("no such RTCP came")
}

#[test]
fn transport_wide_feedback_lists_what_came_and_what_was_lost() {
    let produce = negotiated(produce("p"), &[(TRANSPORT_CC, 5)], json!({"type": "transport-cc"}));
    let mut scene = Scene::with(produce, consume("c", "p"));
    // Across the wrap; 0 and 3 are lost.
    for (index, wide) in [65_534_u16, 65_535, 1, 2, 4].into_iter().enumerate() {
        let packet = rtp(SENT_PT, index as u16, 0, SENT_SSRC, &vp8(index == 0, 0));
        scene.sender.send(scene.inlet, &rtp_with(&[(5, &wide.to_be_bytes())], &packet));
    }
    let mut told = BTreeMap::new();
    let mut last_count = None;
    wait_for(&scene.sender, |packet| {
        let Packet::TransportCc(feedback) = packet else { return None };
        assert_eq!(feedback.media_ssrc, SENT_SSRC);
        let expected = last_count.map_or(0, |count: u8| count.wrapping_add(1));
        assert_eq!(feedback.feedback_count, expected, "feedback is numbered without holes");
        last_count = Some(feedback.feedback_count);
        for status in feedback.statuses() {
            told.insert(status.sequence_number.wrapping_add(2), status.arrival);
        }
        told.get(&6).map(|_| ())
    });
    let received: Vec<bool> = told.values().map(Option::is_some).collect();
    assert_eq!(received, [true, true, false, true, true, false, true], "65534, 65535, 0, 1, 2, 3, 4");
    let arrivals: Vec<i64> = told.into_values().flatten().collect();
    assert!(arrivals.is_sorted() && arrivals[4] - arrivals[0] < 4 * 1000 * PATIENCE.as_secs() as i64, "{arrivals:?}");
    let loss = scene.worker.ask("transport.getStats", "in", Value::Null)[0]["rtpPacketLossReceived"].as_f64();
    assert!(loss.is_some_and(|loss| (0.1..0.9).contains(&loss)), "{loss:?}: 2 of 7, by one message or several");
}

#[test]
fn what_a_receiver_reports_as_lost_is_told_to_the_library() {
    let consume = negotiated(consume("c", "p"), &[(TRANSPORT_CC, 5)], json!({"type": "transport-cc"}));
    let mut scene = Scene::with(produce("p"), consume);
    scene.send(1, &vp8(true, 0));
    scene.receiver.receive_rtp();
    let loss =
        |scene: &mut Scene| scene.worker.ask("transport.getStats", "out", Value::Null)[0]["rtpPacketLossSent"].as_f64();
    assert_eq!(loss(&mut scene), Some(0.0));
    let now = Instant::now();
    let mut builder = FeedbackBuilder::new(now, 1, RECEIVED_SSRC);
    for number in [1, 2, 4] {
        builder.handle_packet(number, now);
    }
    let mut feedback = Vec::new();
    assert!(builder.poll_feedback(&mut feedback, 1200));
    scene.receiver.send(scene.outlet, &feedback);
    let deadline = Instant::now() + PATIENCE;
    while loss(&mut scene) != Some(0.25) {
        assert!(Instant::now() < deadline, "3 is lost, one of four: {:?}", loss(&mut scene));
    }
}

#[test]
fn a_sender_that_negotiated_none_gets_no_transport_wide_feedback() {
    let mut scene = Scene::with(
        negotiated(produce("p"), &[(TRANSPORT_CC, 5)], json!({"type": "ccm", "parameter": "tmmbr"})),
        consume("c", "p"),
    );
    let packet = rtp(SENT_PT, 1, 0, SENT_SSRC, &vp8(true, 0));
    scene.sender.send(scene.inlet, &rtp_with(&[(5, &[0, 1])], &packet));
    scene.settle(1);
    // The receiver report comes a second later, ten times the interval of that feedback.
    wait_for(&scene.sender, |packet| match packet {
        Packet::TransportCc(feedback) => panic!("{feedback:?}"),
        Packet::ReceiverReport(_) => Some(()),
        _ => None,
    });
}

#[test]
fn receiver_reports_count_cycles_and_losses_and_name_the_senders_report() {
    let scene = Scene::new();
    for number in [65_534_u16, 65_535, 1, 2] {
        scene.send(number, &vp8(number == 65_534, 0));
    }
    let ntp = Ntp(0x1111_2222_3333_4444);
    let info = SenderInfo { ssrc: SENT_SSRC, ntp, rtp_timestamp: 0, packet_count: 4, octet_count: 800 };
    let mut report = Vec::new();
    write_sender_report(&mut report, &info, &[]);
    scene.sender.send(scene.inlet, &report);

    let block: ReportBlock = wait_for(&scene.sender, |packet| match packet {
        Packet::ReceiverReport(report) => report.blocks.iter().find(|block| block.highest_sequence == 0x1_0002),
        _ => None,
    });
    assert_eq!((block.ssrc, block.packets_lost), (SENT_SSRC, 1));
    assert_eq!(block.fraction_lost, 51, "one of five, in 1/256");
    assert_eq!(block.last_sender_report, 0x2222_3333);
    let delay = f64::from(block.delay_since_last_sender_report) / 65_536.0;
    assert!((0.5..PATIENCE.as_secs_f64()).contains(&delay), "{delay} s");
}

#[test]
fn a_sender_with_in_band_fec_is_told_the_worst_loss_of_the_receivers() {
    let mut produce = produce("p");
    produce["rtpParameters"]["codecs"][0]["parameters"] = json!({"useinbandfec": 1});
    let scene = Scene::with(produce, consume("c", "p"));
    scene.send(1, &vp8(true, 0));
    scene.receiver.receive_rtp();
    let mut report = Vec::new();
    let block = ReportBlock { ssrc: RECEIVED_SSRC, fraction_lost: 64, ..ReportBlock::default() };
    rtcp::write_receiver_report(&mut report, 4242, &[block]);
    scene.receiver.send(scene.outlet, &report);

    let fraction_lost = wait_for(&scene.sender, |packet| match packet {
        Packet::ReceiverReport(report) => {
            report.blocks.iter().find(|block| block.ssrc == SENT_SSRC).map(|block| block.fraction_lost)
        }
        _ => None,
    });
    assert_eq!(fraction_lost, 64);
}

#[test]
fn receivers_get_sender_reports_a_name_and_the_answer_to_their_reference_time() {
    let scene = Scene::new();
    for number in 0..10 {
        scene.send(number, &vp8(number == 0, 0));
    }
    for _ in 0..10 {
        scene.receiver.receive_rtp();
    }
    let mut reference = Vec::new();
    rtcp::write_receiver_report(&mut reference, 4242, &[]);
    write_rrtr(&mut reference, 4242, Ntp(0x5555_6666_7777_8888));
    scene.receiver.send(scene.outlet, &reference);

    let info = wait_for(&scene.receiver, |packet| match packet {
        Packet::SenderReport(report) => Some(report.info),
        _ => None,
    });
    assert_eq!((info.ssrc, info.packet_count, info.octet_count), (RECEIVED_SSRC, 10, 2000));
    let off = info.ntp.to_unix().abs_diff(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    assert!(off < PATIENCE, "{off:?} from the time of day");
    // The last packet's timestamp, and the time since: at least a half and at most some seconds of 90 kHz.
    assert!((9 * 3000 + 45_000..9 * 3000 + 900_000).contains(&info.rtp_timestamp), "{info:?}");

    // Name and answer come in the same compound packet; the one of a second later has them, too.
    let (mut name, mut answer) = (None, None);
    wait_for(&scene.receiver, |packet| {
        match packet {
            Packet::Sdes(sdes) => name = sdes.cnames().next().map(|(ssrc, name)| (ssrc, name.to_vec())),
            Packet::ExtendedReport(report) => {
                answer = answer.or(report.blocks().find_map(|block| match block {
                    XrBlock::Dlrr(items) => items.iter().next(),
                    _ => None,
                }));
            }
            _ => {}
        }
        (name.is_some() && answer.is_some()).then_some(())
    });
    assert_eq!(name, Some((RECEIVED_SSRC, b"sender".to_vec())));
    let answer = answer.unwrap();
    assert_eq!((answer.ssrc, answer.last_receiver_report), (4242, 0x6666_7777));
    assert!(f64::from(answer.delay) / 65_536.0 < PATIENCE.as_secs_f64(), "{answer:?}");
}

#[test]
fn a_bound_of_the_incoming_bit_rate_is_told_and_lifted() {
    for (extension, feedback) in [(ABS_SEND_TIME, "goog-remb"), (TRANSPORT_CC, "transport-cc")] {
        let produce = negotiated(produce("p"), &[(extension, 3)], json!({"type": feedback}));
        let mut scene = Scene::with(produce, consume("c", "p"));
        scene.send(1, &vp8(true, 0));
        scene.settle(1);
        let told = |scene: &Scene, bitrate: u64| {
            wait_for(&scene.sender, |packet| match packet {
                Packet::Remb(remb) if remb.bitrate == bitrate => Some(remb.ssrcs().collect::<Vec<_>>()),
                _ => None,
            })
        };
        scene.worker.ask("transport.setMaxIncomingBitrate", "in", json!({"bitrate": 500_000}));
        assert_eq!(told(&scene, 500_000), [SENT_SSRC], "{feedback}");
        scene.worker.ask("transport.setMaxIncomingBitrate", "in", json!({"bitrate": 200_000}));
        assert_eq!(told(&scene, 200_000), [SENT_SSRC], "{feedback}");
        scene.worker.ask("transport.setMaxIncomingBitrate", "in", json!({"bitrate": 0}));
        wait_for(&scene.sender, |packet| match packet {
            Packet::Remb(remb) if remb.bitrate > 1_000_000_000 => Some(()),
            _ => None,
        });
    }
}

#[test]
fn a_sender_whose_packets_tell_when_they_were_sent_is_told_how_much_gets_through() {
    let produce = negotiated(produce("p"), &[(ABS_SEND_TIME, 3)], json!({"type": "goog-remb"}));
    let mut scene = Scene::with(produce, consume("c", "p"));
    let start = Instant::now();
    // The packets say when they were sent. Later they say that it was in less time than it was: so a queue grows.
    let (mut told, mut last, mut slow_since) = (None, u64::MAX, None);
    let mut number = 0_u16;
    while told.is_none_or(|told| last > told / 2) {
        assert!(start.elapsed() < 2 * PATIENCE, "told {told:?}, then {last}");
        let now = start.elapsed();
        let sent = slow_since.map_or(now, |since| since + (now - since) * 2 / 5);
        let packet = rtp(SENT_PT, number, 0, SENT_SSRC, &vp8(number == 0, 0));
        scene.sender.send(scene.inlet, &rtp_with(&[(3, &AbsSendTime::from_duration(sent).encode())], &packet));
        number += 1;
        scene.sender.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut buffer = [0; 2048];
        while let Ok(length) = scene.sender.socket.recv(&mut buffer) {
            for packet in rtcp::packets(&buffer[..length]) {
                let Ok(Packet::Remb(remb)) = packet else { continue };
                assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [SENT_SSRC]);
                last = remb.bitrate;
                told.get_or_insert(last);
                slow_since.get_or_insert(now);
            }
        }
    }
    assert!(told.is_some_and(|told| (500_000..1_500_000).contains(&told)), "what is assumed at first: {told:?}");
    let stat = &scene.worker.ask("transport.getStats", "in", Value::Null)[0];
    let available = stat["availableIncomingBitrate"].as_u64().unwrap();
    assert!(available <= last, "{available} of {last}");
}

/// A consumer without RTX whose packets carry a send time and a transport-wide number.
fn consume_without_rtx() -> Value {
    let mut request = negotiated(
        consume("c", "p"),
        &[(MID, 1), (ABS_SEND_TIME, 4), (TRANSPORT_CC, 5)],
        json!({"type": "transport-cc"}),
    );
    request["rtpParameters"]["codecs"].as_array_mut().unwrap().truncate(1);
    request["rtpParameters"]["encodings"] = json!([{"ssrc": RECEIVED_SSRC}]);
    request
}

#[test]
fn without_rtx_a_packet_is_sent_again_to_the_byte() {
    let scene = Scene::with(produce("p"), consume_without_rtx());
    for number in 0..5 {
        scene.send(number, &vp8(number == 0, number as u8));
    }
    let received: Vec<Vec<u8>> = (0..5).map(|_| scene.receiver.receive_rtp()).collect();
    for lost in [3, 1] {
        scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&received[lost])));
        assert_eq!(scene.receiver.receive_rtp(), received[lost]);
    }
}

#[test]
fn without_rtx_a_packet_is_sent_again_to_the_byte_under_srtp() {
    for suite in Suite::ALL {
        let mut worker = Worker::start();
        worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
        let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
        let secure = json!({"enableSrtp": true, "srtpCryptoSuite": suite.name()});
        let outlet = listens(&create_plain(&mut worker, "r", "out", secure));
        let (sender, receiver) = (Peer::new(), Peer::new());
        let key: Vec<u8> = (0..suite.key_and_salt_len() as u8).collect();
        let parameters = json!({"cryptoSuite": suite.name(), "keyBase64": base64::encode_block(&key)});
        worker.ask(
            "transport.connect",
            "out",
            json!({"ip": "127.0.0.1", "port": receiver.address().port(), "srtpParameters": parameters}),
        );
        worker.ask("transport.produce", "in", produce("p"));
        worker.ask("transport.consume", "out", consume_without_rtx());
        for number in 0..5_u16 {
            let packet = rtp(SENT_PT, number, 0, SENT_SSRC, &vp8(number == 0, number as u8));
            sender.send(inlet, &packet);
        }
        let received: Vec<Vec<u8>> = (0..5).map(|_| receiver.receive_rtp()).collect();
        let mut request = nack(RECEIVED_SSRC, sequence(&received[2]));
        Sender::new(Backend::Evp, suite, &key).unwrap().protect_rtcp(&mut request).unwrap();
        receiver.send(outlet, &request);
        assert_eq!(receiver.receive_rtp(), received[2], "{suite:?}");
    }
}

#[test]
fn video_extensions_are_renumbered_rewritten_or_copied() {
    let produce = negotiated(
        produce("p"),
        &[(MID, 1), (ABS_SEND_TIME, 3), (ORIENTATION, 6), (TRANSPORT_CC, 7)],
        json!({"type": "transport-cc"}),
    );
    let consume = negotiated(
        consume("c", "p"),
        &[(MID, 9), (ABS_SEND_TIME, 10), (ORIENTATION, 11), (TRANSPORT_CC, 12)],
        json!({"type": "transport-cc"}),
    );
    let scene = Scene::with(produce, consume);
    let start = Instant::now();
    let mut times = Vec::new();
    for index in 0..3_u16 {
        let packet = rtp(SENT_PT, index, 0, SENT_SSRC, &vp8(index == 0, 1));
        let extensions_sent: [(u8, &[u8]); 4] = [(1, b"v"), (3, &[0xab, 0xcd, 0xef]), (6, &[9]), (7, &[0x77, 0x77])];
        scene.sender.send(scene.inlet, &rtp_with(&extensions_sent, &packet));
        let received = scene.receiver.receive_rtp();
        assert_eq!(payload(&received), vp8(index == 0, 1));
        let found: BTreeMap<u8, Vec<u8>> = extensions(&received).into_iter().collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&9, &10, &11, &12]);
        assert_eq!((&found[&9][..], &found[&11][..]), (&b"0"[..], &[9][..]), "the consumer's MID, the producer's turn");
        assert_eq!(found[&12], (index + 1).to_be_bytes(), "transport-wide numbers of this transport, from 1");
        times.push(u32::from_be_bytes([0, found[&10][0], found[&10][1], found[&10][2]]));
    }
    // Seconds in 6.18 fixed point since the worker's start, so within what has passed here.
    let passed = (times[2].wrapping_sub(times[0]) & 0xff_ffff) as f64 / f64::from(1 << 18);
    assert!(passed <= (start.elapsed() + Duration::from_millis(1)).as_secs_f64(), "{passed} s");
    assert!(times.iter().all(|time| *time != 0x00ab_cdef), "not the producer's own");
}

#[test]
fn audio_levels_are_copied_under_the_consumers_id() {
    let codec = |payload_type: u8| {
        json!({"mimeType": "audio/opus", "payloadType": payload_type, "clockRate": 48000, "channels": 2,
               "parameters": {}, "rtcpFeedback": []})
    };
    let parameters = |mid: &str, payload_type: u8, ssrc: u32, ids: [u8; 2]| {
        json!({
            "mid": mid, "codecs": [codec(payload_type)], "encodings": [{"ssrc": ssrc}], "rtcp": {"cname": "sender"},
            "headerExtensions": [{"uri": MID, "id": ids[0]}, {"uri": AUDIO_LEVEL, "id": ids[1]}],
        })
    };
    let scene = Scene::with(
        json!({
            "producerId": "p", "kind": "audio", "paused": false,
            "rtpParameters": parameters("a", 111, SENT_SSRC, [1, 2]),
            "rtpMapping": {
                "codecs": [{"payloadType": 111, "mappedPayloadType": 100}],
                "encodings": [{"ssrc": SENT_SSRC, "mappedSsrc": MAPPED_SSRC}],
            },
        }),
        json!({
            "consumerId": "c", "producerId": "p", "kind": "audio", "type": "simple", "paused": false,
            "rtpParameters": parameters("7", 100, RECEIVED_SSRC, [4, 10]),
            "consumableRtpEncodings": [{"ssrc": MAPPED_SSRC}],
        }),
    );
    for (number, level) in [(1, 0x80_u8 | 33), (2, 127)] {
        let packet = rtp(111, number, 0, SENT_SSRC, &[1, 2, 3]);
        scene.sender.send(scene.inlet, &rtp_with(&[(1, b"a"), (2, &[level])], &packet));
        let received = scene.receiver.receive_rtp();
        assert_eq!(extensions(&received), [(4, b"7".to_vec()), (10, vec![level])]);
        assert_eq!((payload_type(&received), ssrc(&received)), (100, RECEIVED_SSRC));
    }
}
