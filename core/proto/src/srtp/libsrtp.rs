//! SRTP and SRTCP by the system's libsrtp2.
//!
//! libsrtp works in place, on packets aligned to 4 bytes, and may write 148 bytes behind them. So a session has a
//! buffer of its own that fits these terms; packets are copied into it and back. (At 1,200 bytes the copies cost some
//! percent of what Debian's libsrtp takes.)
//!
//! Differences to the own backend that stay:
//! - In the first 32,768 packets of a stream libsrtp takes a sequence number from before index 0 for one far ahead.
//! - The first SRTCP index is 1, not 0, and the replay window of SRTCP has 128 packets.
//! - An SSRC that has sent SRTP and SRTCP is one stream, so the limits on streams are for both together.
//! - Streams are in a list: to find one takes longer the more there are.

#![allow(unsafe_code)]

use super::index::{Streams, WINDOW};
use super::packet::{RTCP_CLEAR_LEN, rtcp_ssrc, rtp_header};
use super::{MAX_RECEIVED_STREAMS, MAX_SENT_STREAMS, SrtpError, Suite};
use libsrtp2_sys as sys;
use std::ffi::{c_int, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// What the library may write behind a packet: the trailer, and SRTCP's index.
const ROOM: usize = sys::SRTP_MAX_TRAILER_LEN + 4;

type Transform = unsafe extern "C" fn(sys::srtp_t, *mut c_void, *mut c_int) -> sys::srtp_err_status_t;

/// One direction of a session.
pub(super) struct Session {
    handle: sys::srtp_t,
    suite: Suite,
    /// The SSRCs that the library has state for. It has no limit of its own.
    streams: Streams<()>,
    /// The packet in work, in words for its alignment.
    buffer: Vec<u32>,
}

// SAFETY: a session of libsrtp is not bound to a thread: it may be used by one at a time, which `&mut self` ensures. The
// global state (the cipher types) is written only by srtp_init, which runs once, before the first session.
unsafe impl Send for Session {}

impl Session {
    /// A session for what we send.
    pub fn outbound(suite: Suite, key: &[u8]) -> Result<Session, SrtpError> {
        Session::new(suite, key, sys::ssrc_any_outbound, MAX_SENT_STREAMS)
    }

    /// A session for what we receive.
    pub fn inbound(suite: Suite, key: &[u8]) -> Result<Session, SrtpError> {
        Session::new(suite, key, sys::ssrc_any_inbound, MAX_RECEIVED_STREAMS)
    }

    fn new(
        suite: Suite,
        key: &[u8],
        direction: sys::srtp_ssrc_type_t,
        max_streams: usize,
    ) -> Result<Session, SrtpError> {
        init()?;
        let (rtp, rtcp) = crypto_policies(suite);
        let mut key = key.to_vec();
        let policy = sys::srtp_policy_t {
            ssrc: sys::srtp_ssrc_t { type_: direction, value: 0 },
            rtp,
            rtcp,
            key: key.as_mut_ptr(),
            keys: ptr::null_mut(),
            num_master_keys: 0,
            deprecated_ekt: ptr::null_mut(),
            window_size: WINDOW as c_ulong,
            allow_repeat_tx: 1,
            enc_xtn_hdr: ptr::null_mut(),
            enc_xtn_hdr_count: 0,
            next: ptr::null_mut(),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the library is set up; `policy` and the key that it points to (of the suite's length, which the caller
        // has checked) outlive the call, which copies what it keeps.
        let status = unsafe { sys::srtp_create(&mut handle, &policy) };
        if status != sys::srtp_err_status_ok || handle.is_null() {
            return Err(SrtpError::Crypto);
        }
        Ok(Session { handle, suite, streams: Streams::new(max_streams), buffer: Vec::new() })
    }

    pub fn protect_rtp(&mut self, slot: &mut [u8], header_len: usize, payload: &[u8]) -> Result<usize, SrtpError> {
        let total = header_len + payload.len() + self.suite.rtp_tag_len();
        if slot.len() < total {
            return Err(SrtpError::BufferTooSmall { needed: total, got: slot.len() });
        }
        let header = &slot[..header_len];
        let parsed = rtp_header(header)?;
        if parsed.len != header_len {
            return Err(SrtpError::TooShort(header_len));
        }
        let protected = self.run(sys::srtp_protect, parsed.ssrc, header, payload)?;
        let out = slot.get_mut(..protected.len()).ok_or(SrtpError::Crypto)?;
        out.copy_from_slice(protected);
        Ok(protected.len())
    }

    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = rtcp_ssrc(packet, RTCP_CLEAR_LEN)?;
        let protected = self.run(sys::srtp_protect_rtcp, ssrc, packet, &[])?;
        packet.clear();
        packet.extend_from_slice(protected);
        Ok(())
    }

    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = rtp_header(packet)?;
        if packet.len() < header.len + self.suite.rtp_tag_len() {
            return Err(SrtpError::TooShort(packet.len()));
        }
        self.unprotect(sys::srtp_unprotect, header.ssrc, packet)
    }

    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let trailer = 4 + self.suite.rtcp_tag_len();
        let ssrc = rtcp_ssrc(packet, RTCP_CLEAR_LEN + trailer)?;
        // With GCM libsrtp would take a packet that is authenticated only.
        let flag = packet.len() - if self.suite.is_gcm() { 4 } else { trailer };
        if packet[flag] & 0x80 == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        self.unprotect(sys::srtp_unprotect_rtcp, ssrc, packet)
    }

    fn unprotect(&mut self, transform: Transform, ssrc: u32, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let plain = self.run(transform, ssrc, packet, &[])?;
        let out = packet.get_mut(..plain.len()).ok_or(SrtpError::Crypto)?;
        out.copy_from_slice(plain);
        Ok(plain.len())
    }

    /// Copies a packet's two parts into the buffer, lets the library transform it, and returns what it has become.
    fn run(&mut self, transform: Transform, ssrc: u32, head: &[u8], tail: &[u8]) -> Result<&[u8], SrtpError> {
        let known = self.streams.get(ssrc).is_some();
        if !known && !self.streams.has_room() {
            return Err(SrtpError::TooManyStreams);
        }
        let len = head.len() + tail.len();
        let words = (len + ROOM).div_ceil(4);
        if self.buffer.len() < words {
            self.buffer.resize(words, 0);
        }
        // SAFETY: the vector's words are 4 initialized bytes each, any bytes are a valid word, and the slice borrows
        // `self` mutably.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast::<u8>(), self.buffer.len() * size_of::<u32>())
        };
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..len].copy_from_slice(tail);
        let mut new_len = c_int::try_from(len).map_err(|_| SrtpError::Crypto)?;
        // SAFETY: the handle is a live session, which `&mut self` makes ours alone; the packet is aligned to 4 bytes
        // and has ROOM behind it, which is the most that the library may write; its lengths are checked by the callers.
        let status = unsafe { transform(self.handle, bytes.as_mut_ptr().cast(), &mut new_len) };
        if status != sys::srtp_err_status_ok {
            return Err(error(status, len));
        }
        if !known {
            self.streams.insert(ssrc, ())?;
        }
        usize::try_from(new_len).ok().and_then(|len| bytes.get(..len)).ok_or(SrtpError::Crypto)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is a live session, and nobody uses it afterwards. The only failure leaks memory.
        unsafe {
            sys::srtp_dealloc(self.handle);
        }
    }
}

/// Sets the library up, once. It is never shut down: that would be unsound while sessions live.
fn init() -> Result<(), SrtpError> {
    static STATUS: OnceLock<sys::srtp_err_status_t> = OnceLock::new();
    // SAFETY: runs once, and before any other call of the library.
    match *STATUS.get_or_init(|| unsafe { sys::srtp_init() }) {
        sys::srtp_err_status_ok => Ok(()),
        _ => Err(SrtpError::Crypto),
    }
}

/// The policies for SRTP and SRTCP.
fn crypto_policies(suite: Suite) -> (sys::srtp_crypto_policy_t, sys::srtp_crypto_policy_t) {
    type Set = unsafe extern "C" fn(*mut sys::srtp_crypto_policy_t);
    let (rtp, rtcp): (Set, Set) = match suite {
        Suite::AeadAes256Gcm => {
            (sys::srtp_crypto_policy_set_aes_gcm_256_16_auth, sys::srtp_crypto_policy_set_aes_gcm_256_16_auth)
        }
        Suite::AeadAes128Gcm => {
            (sys::srtp_crypto_policy_set_aes_gcm_128_16_auth, sys::srtp_crypto_policy_set_aes_gcm_128_16_auth)
        }
        Suite::AesCm128HmacSha1_80 => {
            (sys::srtp_crypto_policy_set_rtp_default, sys::srtp_crypto_policy_set_rtcp_default)
        }
        Suite::AesCm128HmacSha1_32 => {
            (sys::srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32, sys::srtp_crypto_policy_set_rtcp_default)
        }
    };
    let make = |set: Set| {
        let mut policy = MaybeUninit::zeroed();
        // SAFETY: `set` fills in the policy that it is given; all of its fields are integers, for which zero is valid.
        unsafe {
            set(policy.as_mut_ptr());
            policy.assume_init()
        }
    };
    (make(rtp), make(rtcp))
}

fn error(status: sys::srtp_err_status_t, len: usize) -> SrtpError {
    match status {
        sys::srtp_err_status_auth_fail => SrtpError::AuthenticationFailed,
        sys::srtp_err_status_replay_fail => SrtpError::Replayed,
        sys::srtp_err_status_replay_old | sys::srtp_err_status_pkt_idx_old => SrtpError::TooOld,
        sys::srtp_err_status_cant_check => SrtpError::NotEncrypted,
        sys::srtp_err_status_key_expired => SrtpError::KeyExhausted,
        sys::srtp_err_status_parse_err => SrtpError::TooShort(len),
        _ => SrtpError::Crypto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what we send too; with the real limit this would take long, for streams are in a list.
    #[test]
    fn sent_streams_are_bounded() {
        let suite = Suite::AeadAes128Gcm;
        let mut session = Session::new(suite, &vec![1; suite.key_and_salt_len()], sys::ssrc_any_outbound, 3).unwrap();
        let mut protect = |ssrc: u8| {
            let mut slot = [0; 64];
            slot[..12].copy_from_slice(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc]);
            session.protect_rtp(&mut slot, 12, b"payload")
        };
        for ssrc in [1, 2, 3, 1] {
            assert_eq!(protect(ssrc), Ok(35), "{ssrc}");
        }
        assert_eq!(protect(4), Err(SrtpError::TooManyStreams));
        assert_eq!(session.protect_rtcp(&mut vec![0x80, 201, 0, 1, 0, 0, 0, 3]), Ok(()));
        assert_eq!(session.protect_rtcp(&mut vec![0x80, 201, 0, 1, 0, 0, 0, 4]), Err(SrtpError::TooManyStreams));
    }
}
