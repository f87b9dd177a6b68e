//! Application data, and the end of an association.

use super::super::*;
use super::pair::Pair;
use super::plain_client::{PlainClient, identify, server};
use super::{CLIENT, SERVER};
use openssl::ssl::ShutdownResult;

#[test]
fn application_data_and_close() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    for end in [CLIENT, SERVER] {
        pair.ends[end].send(b"hello").unwrap();
        pair.ends[end].send(&[7; MAX_RECORD_LEN]).unwrap();
        assert_eq!(pair.ends[end].send(&[]), Err(DtlsError::DataLength(0)));
        assert_eq!(pair.ends[end].send(&[0; MAX_RECORD_LEN + 1]), Err(DtlsError::DataLength(MAX_RECORD_LEN + 1)));
    }
    pair.collect();
    pair.run();
    for end in [CLIENT, SERVER] {
        assert_eq!(pair.events[end][1..], [Event::Data(b"hello".to_vec()), Event::Data(vec![7; MAX_RECORD_LEN])]);
    }

    pair.ends[CLIENT].close();
    assert_eq!(pair.ends[CLIENT].state(), State::Closed);
    assert_eq!(pair.ends[CLIENT].send(b"x"), Err(DtlsError::NotConnected));
    pair.collect();
    pair.run();
    assert_eq!(pair.events[SERVER].last(), Some(&Event::Closed));
    assert_eq!(pair.ends[SERVER].state(), State::Closed);
    assert_eq!(pair.events[CLIENT].len(), 3, "who closes hears nothing of it");
}

/// RFC 5246 §7.2.1: who gets close_notify answers it.
#[test]
fn a_close_is_answered() {
    let mut client = PlainClient::new(1200, |builder| {
        identify(builder);
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_256_GCM").unwrap();
    });
    let (mut server, now) = (server(), Instant::now());
    assert!(matches!(client.connect_to(&mut server, now)[..], [Event::Connected { .. }]));
    assert_eq!(client.stream.shutdown().unwrap(), ShutdownResult::Sent);
    let close = client.stream.get_mut().transmit().unwrap();
    server.handle_packet(now, &close).unwrap();
    assert_eq!(server.poll_event(), Some(Event::Closed));
    client.receive_from(&mut server);
    assert_eq!(client.stream.ssl_read(&mut [0]).unwrap_err().code(), ErrorCode::ZERO_RETURN);
}

#[test]
fn a_fatal_alert_breaks_a_connected_association() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    pair.assert_connected();
    ffi::send_fatal_alert(&mut pair.ends[CLIENT].stream, HANDSHAKE_FAILURE);
    pair.collect();
    pair.run();
    let error = DtlsError::Protocol("SSLV3_ALERT_HANDSHAKE_FAILURE".to_owned());
    assert_eq!(pair.events[SERVER][1..], [Event::Failed(error)]);
    assert_eq!(pair.ends[SERVER].state(), State::Failed);
    assert_eq!(pair.ends[SERVER].poll_transmit(), None);
}
