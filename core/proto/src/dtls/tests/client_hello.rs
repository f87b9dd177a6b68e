//! The first message: large, in two datagrams, before the start.

use super::super::*;
use super::plain_client::{PlainClient, identify};
use super::{CERTIFICATES, SERVER};

/// A ClientHello of 1,200 and some 300 bytes, as Chromium's with its post-quantum key share: in either order, with each
/// datagram doubled, before and after the start.
#[test]
fn client_hello_in_either_order() {
    let mut client = PlainClient::new(1200, |builder| {
        identify(builder);
        let protocols: Vec<u8> = std::iter::repeat_n(b"\x0aabcdefghij", 120).flatten().copied().collect();
        builder.set_alpn_protos(&protocols).unwrap();
    });
    let hello = client.advance();
    assert_eq!(hello.len(), 2);
    assert_eq!(hello[0].len(), 1200);
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
            assert!(server.poll_transmit().is_some(), "order {order:?}, started {started}");
        }
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
