//! The few functions of AWS-LC that the openssl crate has no safe form of: DTLS timers, and alerts of our choice.
//!
//! A lost flight must be sent again as new records, which only the library can make: a peer drops records that repeat
//! a sequence number (RFC 6347 §4.1.2.6), so to record datagrams and send them once more is not enough. The library
//! does this in `DTLSv1_handle_timeout`, by a clock that it reads itself unless `SSL_CTX_set_current_time_cb` gives it
//! another. Ours shows the `now` of the call that is running on this thread, so that the handshake is a function of its
//! inputs, and a test of thirty seconds takes no time. (The X.509 code of the library compares a certificate's dates with
//! the system's time all the same, but nobody asks for the result.)

#![allow(unsafe_code)]

use super::datagrams::Datagrams;
use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslStream};
use openssl::x509::X509VerifyResult;
use openssl_sys as sys;
use std::cell::Cell;
use std::time::Duration;

/// What the clock shows at an association's first call. Not zero: the library takes a deadline of zero for none.
const EPOCH: Duration = Duration::from_secs(1_000_000);

thread_local! {
    /// What the clock shows while a call of [`with_clock`] is running.
    static NOW: Cell<Duration> = const { Cell::new(EPOCH) };
}

/// Makes every association of the context read our clock.
pub(super) fn set_clock(context: &mut SslContextBuilder) {
    // SAFETY: the builder's pointer is a live SSL_CTX, and the callback is a function that lives forever.
    unsafe { sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(current_time)) }
}

/// Runs `work` while this thread's clock shows that `elapsed` has passed since the association's first call.
pub(super) fn with_clock<R>(elapsed: Duration, work: impl FnOnce() -> R) -> R {
    NOW.set(EPOCH + elapsed);
    work()
}

/// Sets how long the first retransmission of a flight waits.
pub(super) fn set_retransmission_timeout(stream: &mut SslStream<Datagrams>, timeout: Duration) {
    // SAFETY: the stream owns a live SSL, which is borrowed mutably; the call stores a number in it.
    unsafe { sys::DTLSv1_set_initial_timeout_duration(stream.ssl().as_ptr(), timeout.as_millis() as u32) }
}

/// How long the retransmission timer still runs, if it does. Call it within [`with_clock`].
pub(super) fn time_left(stream: &mut SslStream<Datagrams>) -> Option<Duration> {
    let mut left = sys::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the stream owns a live SSL, and `left` is a timeval to write to.
    let running = unsafe { sys::DTLSv1_get_timeout(stream.ssl().as_ptr(), &mut left) };
    (running == 1).then(|| {
        let seconds = u64::try_from(left.tv_sec).unwrap_or(0);
        let micros = u64::try_from(left.tv_usec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    })
}

/// Sends the current flight again if its timer has ended. Call it within [`with_clock`].
pub(super) fn handle_timeout(stream: &mut SslStream<Datagrams>) -> Result<(), ErrorStack> {
    // SAFETY: the stream owns a live SSL and its BIO, and is borrowed mutably, so that nothing else uses them while the
    // library writes datagrams to the BIO; the BIO's callbacks are the openssl crate's own.
    match unsafe { sys::DTLSv1_handle_timeout(stream.ssl().as_ptr()) } {
        -1 => Err(ErrorStack::get()),
        _ => Ok(()),
    }
}

/// Sends a fatal alert. That the peer may not get it is all that can fail.
pub(super) fn send_fatal_alert(stream: &mut SslStream<Datagrams>, alert: u8) {
    // SAFETY: as in `handle_timeout`.
    unsafe {
        sys::SSL_send_fatal_alert(stream.ssl().as_ptr(), alert);
    }
    // A failure leaves words in this thread's queue of errors, which are not to be taken for those of a later call.
    let _ = ErrorStack::get();
}

/// The settings of an association that is in a stream already.
pub(super) fn ssl_mut(stream: &mut SslStream<Datagrams>) -> &mut SslRef {
    // SAFETY: the stream owns a live SSL; both are borrowed mutably for as long as the result lives.
    unsafe { SslRef::from_ptr_mut(stream.ssl().as_ptr()) }
}

/// The result of a verification that refuses a certificate; the library tells the peer with the alert bad_certificate.
pub(super) fn certificate_rejected() -> X509VerifyResult {
    // SAFETY: a code that the library defines.
    unsafe { X509VerifyResult::from_raw(sys::X509_V_ERR_CERT_REJECTED) }
}

unsafe extern "C" fn current_time(_ssl: *const sys::SSL, out: *mut sys::timeval) {
    let now = NOW.get();
    // SAFETY: the library passes a timeval of its own to write to.
    unsafe {
        (*out).tv_sec = now.as_secs() as _;
        (*out).tv_usec = now.subsec_micros() as _;
    }
}
