//! The first message: in two datagrams, before the start.

use super::super::*;
use super::plain_client::{PlainClient, identify, server};
use super::{CERTIFICATES, SERVER};

/// Chromium's ClientHello, which its post-quantum key share makes larger than a datagram, as it was captured.
fn chromium_hello() -> Vec<Vec<u8>> {
    let lines = include_str!("../testdata/chromium-client-hello.hex").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| hex::decode(line).unwrap()).collect()
}

/// In either order, with each datagram doubled, before and after the start.
#[test]
fn client_hello_in_either_order() {
    let hello = chromium_hello();
    assert_eq!(hello.iter().map(Vec::len).collect::<Vec<_>>(), [1200, 263]);
    for order in [[0, 1], [1, 0]] {
        for started in [false, true] {
            let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, None).unwrap();
            let now = Instant::now();
            if started {
                server.start(now);
            }
            for part in order {
                assert_eq!(server.poll_transmit(), None);
                server.handle_packet(now, &hello[part]).unwrap();
                server.handle_packet(now, &hello[part]).unwrap();
            }
            server.start(now);
            let flight = server.poll_transmit().unwrap_or_default();
            // A handshake record of DTLS 1.2, and a ServerHello in it.
            assert_eq!((&flight[..3], flight[13]), (&[22, 0xfe, 0xfd][..], 2), "order {order:?}, started {started}");
            assert_eq!(server.state(), State::Connecting);
        }
    }
}

/// Either half of a ClientHello is lost; the other one waits for it to be sent again.
#[test]
fn half_a_client_hello_is_lost() {
    for lost in [0, 1] {
        let mut client = PlainClient::new(1200, |builder| {
            identify(builder);
            builder.set_tlsext_use_srtp("SRTP_AEAD_AES_256_GCM").unwrap();
            let protocols: Vec<u8> = std::iter::repeat_n(b"\x0aabcdefghij", 120).flatten().copied().collect();
            builder.set_alpn_protos(&protocols).unwrap();
        });
        let mut server = server();
        let now = Instant::now();
        server.start(now);
        let hello = client.advance();
        assert_eq!(hello.len(), 2);
        server.handle_packet(now, &hello[1 - lost]).unwrap();
        assert_eq!(server.poll_transmit(), None, "half a message has no answer");
        assert_eq!(server.poll_timeout(), None, "nor is anything sent again");

        let again = client.retransmit();
        assert_eq!(again.len(), 2);
        server.handle_packet(now, &again[lost]).unwrap();
        client.receive_from(&mut server);
        let events = client.connect_to(&mut server, now);
        assert!(matches!(events[..], [Event::Connected { .. }]), "{lost}: {events:?}");
    }
}

#[test]
fn datagrams_before_the_start_are_bounded() {
    let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, None).unwrap();
    let now = Instant::now();
    for _ in 0..MAX_EARLY_DATAGRAMS {
        server.handle_packet(now, &[22; 20]).unwrap();
    }
    assert_eq!(server.handle_packet(now, &[22; 20]), Err(DtlsError::TooEarly));
}
