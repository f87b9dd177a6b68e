//! SRTP and SRTCP: packets of strangers and of the peer, on one session.

use sfu_proto::rtp::Header;
use sfu_proto::srtp::{Backend, Receiver, Sender, SrtpError, Suite};

use super::input::Input;

/// The suite, then what arrives: forged packets, and the peer's own with and without changes. Forged ones are refused and
/// leave the session as it was, so that the peer's are always taken, once.
pub fn srtp(data: &[u8]) {
    let mut input = Input::new(data);
    let suite = Suite::ALL[input.below(Suite::ALL.len())];
    let key: Vec<u8> = (0..suite.key_and_salt_len() as u8).collect();
    let mut sender = Sender::new(Backend::Evp, suite, &key).expect("the key has its length");
    let mut receiver = Receiver::new(Backend::Evp, suite, &key).expect("the key has its length");
    let mut sequence = input.u16();
    while !input.is_empty() {
        let operation = input.u8();
        match operation & 3 {
            0 => {
                let mut packet = input.datagram().to_vec();
                forged(suite, receiver.unprotect_rtp(&mut packet));
            }
            1 => {
                let mut packet = input.datagram().to_vec();
                forged(suite, receiver.unprotect_rtcp(&mut packet));
            }
            2 => {
                sequence = sequence.wrapping_add(1 + u16::from(operation >> 6));
                peer_rtp(&mut input, sequence, &mut sender, &mut receiver);
            }
            _ => peer_rtcp(&mut input, &mut sender, &mut receiver),
        }
    }
}

fn forged(suite: Suite, result: Result<usize, SrtpError>) {
    // A tag of four bytes can be guessed.
    assert!(result.is_err() || suite == Suite::AesCm128HmacSha1_32, "a forged packet of {suite} is taken");
}

/// An RTP packet of one of four streams, sealed, arrives damaged, then as it was, then again.
fn peer_rtp(input: &mut Input<'_>, sequence: u16, sender: &mut Sender, receiver: &mut Receiver) {
    let damage = (input.u8(), input.u8());
    let mut packet = input.datagram().to_vec();
    if let Some([first, _, high, low, _, _, _, _, ssrc @ ..]) = packet.first_chunk_mut::<12>() {
        *first = 0x80 | *first & 0x1f;
        [*high, *low] = sequence.to_be_bytes();
        *ssrc = [0, 0, 0, ssrc[3] & 3];
    }
    let Ok(header) = Header::parse(&packet) else { return };
    let (head, payload) = packet.split_at(header.header_len());
    let mut sealed = vec![0; packet.len() + 16];
    sealed[..head.len()].copy_from_slice(head);
    let len = sender.protect_rtp(&mut sealed, head.len(), payload).expect("numbers go up");
    sealed.truncate(len);

    let mut damaged = sealed.clone();
    let at = usize::from(damage.0) % damaged.len();
    damaged[at] ^= damage.1.max(1);
    assert!(receiver.unprotect_rtp(&mut damaged).is_err());
    let mut arrived = sealed.clone();
    let opened = receiver.unprotect_rtp(&mut arrived).map(|len| &arrived[..len]);
    assert_eq!(opened, Ok(&packet[..]));
    assert_eq!(receiver.unprotect_rtp(&mut sealed), Err(SrtpError::Replayed));
}

/// The same for a compound RTCP packet.
fn peer_rtcp(input: &mut Input<'_>, sender: &mut Sender, receiver: &mut Receiver) {
    let damage = (input.u8(), input.u8());
    let mut packet = input.datagram().to_vec();
    let Some([first, _, _, _, ssrc @ ..]) = packet.first_chunk_mut::<8>() else { return };
    *first = 0x80 | *first & 0x3f;
    *ssrc = [0, 0, 0, ssrc[3] & 3];
    let mut sealed = packet.clone();
    sender.protect_rtcp(&mut sealed).expect("it has a header");

    let mut damaged = sealed.clone();
    let at = usize::from(damage.0) % damaged.len();
    damaged[at] ^= damage.1.max(1);
    assert!(receiver.unprotect_rtcp(&mut damaged).is_err());
    let mut arrived = sealed.clone();
    let opened = receiver.unprotect_rtcp(&mut arrived).map(|len| &arrived[..len]);
    assert_eq!(opened, Ok(&packet[..]));
    assert_eq!(receiver.unprotect_rtcp(&mut sealed), Err(SrtpError::Replayed));
}
