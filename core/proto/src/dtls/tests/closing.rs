//! Application data, and the end of an association.

use super::super::*;
use super::pair::Pair;
use super::{CLIENT, SERVER};

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
