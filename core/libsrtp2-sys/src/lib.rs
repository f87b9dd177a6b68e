//! Raw FFI to the system's libsrtp2 (2.4 or later): only what one session of either direction needs.
//!
//! Laid out by hand from libsrtp's public header `srtp.h`, so that a build needs no libclang; the test `layout` compares
//! sizes, offsets, constants and prototypes with the installed header. Without the feature `link` the crate is empty.

#![cfg(feature = "link")]
#![allow(non_camel_case_types, non_upper_case_globals)]

use std::ffi::{c_int, c_uint, c_ulong, c_void};

/// Result of a call; `srtp_err_status_t`.
pub type srtp_err_status_t = c_int;
/// No error.
pub const srtp_err_status_ok: srtp_err_status_t = 0;
/// The tag does not match.
pub const srtp_err_status_auth_fail: srtp_err_status_t = 7;
/// A packet with this index was seen before.
pub const srtp_err_status_replay_fail: srtp_err_status_t = 9;
/// The index lies behind the replay window.
pub const srtp_err_status_replay_old: srtp_err_status_t = 10;
/// A check can't be made; among others, of an SRTCP packet without the E flag.
pub const srtp_err_status_cant_check: srtp_err_status_t = 14;
/// The key may protect no more packets.
pub const srtp_err_status_key_expired: srtp_err_status_t = 15;
/// The packet can't be parsed.
pub const srtp_err_status_parse_err: srtp_err_status_t = 21;
/// The packet's index is far too old.
pub const srtp_err_status_pkt_idx_old: srtp_err_status_t = 26;

/// How a policy names its stream; `srtp_ssrc_type_t`.
pub type srtp_ssrc_type_t = c_uint;
/// Any stream that we receive.
pub const ssrc_any_inbound: srtp_ssrc_type_t = 2;
/// Any stream that we send.
pub const ssrc_any_outbound: srtp_ssrc_type_t = 3;

/// The most bytes that `srtp_protect` may write behind a packet; `srtp_protect_rtcp` may write four more.
pub const SRTP_MAX_TRAILER_LEN: usize = 16 + 128;

/// A session.
#[repr(C)]
pub struct srtp_ctx_t {
    _private: [u8; 0],
}

/// A handle to a session.
pub type srtp_t = *mut srtp_ctx_t;

/// Which ciphers protect packets; filled in by the `srtp_crypto_policy_set_*` functions.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct srtp_crypto_policy_t {
    /// The cipher.
    pub cipher_type: u32,
    /// Bytes of its key and salt.
    pub cipher_key_len: c_int,
    /// The authentication function.
    pub auth_type: u32,
    /// Bytes of its key.
    pub auth_key_len: c_int,
    /// Bytes of its tag.
    pub auth_tag_len: c_int,
    /// Encryption, authentication, both or neither (`srtp_sec_serv_t`).
    pub sec_serv: c_uint,
}

/// A stream, or all of them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct srtp_ssrc_t {
    /// One or all.
    pub type_: srtp_ssrc_type_t,
    /// Which one.
    pub value: c_uint,
}

/// How to make a session.
#[repr(C)]
pub struct srtp_policy_t {
    /// For which streams.
    pub ssrc: srtp_ssrc_t,
    /// How SRTP is protected.
    pub rtp: srtp_crypto_policy_t,
    /// How SRTCP is protected.
    pub rtcp: srtp_crypto_policy_t,
    /// Master key and salt; the library copies what it needs.
    pub key: *mut u8,
    /// Several master keys instead (an array of pointers to `srtp_master_key_t`): null here.
    pub keys: *mut c_void,
    /// How many.
    pub num_master_keys: c_ulong,
    /// Unused by the library.
    pub deprecated_ekt: *mut c_void,
    /// Packets that the replay window covers; 0 for 128.
    pub window_size: c_ulong,
    /// Whether a sequence number may be sent again.
    pub allow_repeat_tx: c_int,
    /// Header extensions to encrypt.
    pub enc_xtn_hdr: *mut c_int,
    /// How many.
    pub enc_xtn_hdr_count: c_int,
    /// The next policy of the session.
    pub next: *mut srtp_policy_t,
}

// Linked by the build script, which asks pkg-config.
unsafe extern "C" {
    /// Sets the library up: once per process, before all else.
    pub fn srtp_init() -> srtp_err_status_t;
    /// Makes a session.
    pub fn srtp_create(session: *mut srtp_t, policy: *const srtp_policy_t) -> srtp_err_status_t;
    /// Frees a session.
    pub fn srtp_dealloc(session: srtp_t) -> srtp_err_status_t;
    /// Encrypts the RTP packet at `rtp_hdr` (aligned to 4 bytes) in place, and writes up to [`SRTP_MAX_TRAILER_LEN`]
    /// bytes behind it. `len` is its length before and after.
    pub fn srtp_protect(ctx: srtp_t, rtp_hdr: *mut c_void, len: *mut c_int) -> srtp_err_status_t;
    /// Decrypts an SRTP packet (aligned to 4 bytes) in place.
    pub fn srtp_unprotect(ctx: srtp_t, srtp_hdr: *mut c_void, len: *mut c_int) -> srtp_err_status_t;
    /// Encrypts an RTCP packet (aligned to 4 bytes) in place, and writes up to [`SRTP_MAX_TRAILER_LEN`] + 4 bytes behind
    /// it.
    pub fn srtp_protect_rtcp(ctx: srtp_t, rtcp_hdr: *mut c_void, len: *mut c_int) -> srtp_err_status_t;
    /// Decrypts an SRTCP packet (aligned to 4 bytes) in place.
    pub fn srtp_unprotect_rtcp(ctx: srtp_t, srtcp_hdr: *mut c_void, len: *mut c_int) -> srtp_err_status_t;
    /// AES_CM_128_HMAC_SHA1_80, for RTP.
    pub fn srtp_crypto_policy_set_rtp_default(policy: *mut srtp_crypto_policy_t);
    /// AES_CM_128_HMAC_SHA1_80, for RTCP.
    pub fn srtp_crypto_policy_set_rtcp_default(policy: *mut srtp_crypto_policy_t);
    /// AES_CM_128_HMAC_SHA1_32.
    pub fn srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(policy: *mut srtp_crypto_policy_t);
    /// AEAD_AES_128_GCM with tags of 16 bytes.
    pub fn srtp_crypto_policy_set_aes_gcm_128_16_auth(policy: *mut srtp_crypto_policy_t);
    /// AEAD_AES_256_GCM with tags of 16 bytes.
    pub fn srtp_crypto_policy_set_aes_gcm_256_16_auth(policy: *mut srtp_crypto_policy_t);
}
