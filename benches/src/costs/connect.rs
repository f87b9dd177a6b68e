//! A peer of a WebRtcTransport, as far as its connection goes: one connectivity check that nominates, and the client's side of
//! the DTLS handshake.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sfu_proto::dtls::{Certificate, Dtls, Event, Fingerprint, FingerprintAlgorithm, Role};
use sfu_proto::stun::{self, Class, Message, MessageBuilder, TransactionId};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// What takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `transport.connect` takes for this peer.
///
/// # Errors
/// The certificate can't be read.
pub fn parameters(certificate: &Certificate) -> Result<Value> {
    let fingerprint = certificate.fingerprint(FingerprintAlgorithm::Sha256)?;
    let fingerprints = [json!({ "algorithm": "sha-256", "value": fingerprint.value() })];
    Ok(json!({ "dtlsParameters": { "role": "client", "fingerprints": fingerprints } }))
}

/// Connects to the transport of which this is the dump.
///
/// # Errors
/// It doesn't answer as it should, or isn't who the dump says.
pub fn connect(certificate: &Certificate, dump: &Value) -> Result<()> {
    let text = |pointer: &str| {
        dump.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the transport's dump has no {pointer}"))
    };
    let port =
        dump.pointer("/iceCandidates/0/port").and_then(Value::as_u64).context("the dump has no candidate's port")?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect((text("/iceCandidates/0/ip")?, u16::try_from(port)?))?;

    let password = text("/iceParameters/password")?.as_bytes();
    socket.set_read_timeout(Some(PATIENCE))?;
    let check = MessageBuilder::new(Class::Request, stun::METHOD_BINDING, TransactionId([7; 12]))
        .username(&format!("{}:bench", text("/iceParameters/usernameFragment")?))
        .ice_controlling(1)
        .priority(1_853_824_767)
        .use_candidate();
    socket.send(&check.message_integrity(password).fingerprint().finish())?;
    let mut buffer = [0; 2048];
    let received = socket.recv(&mut buffer).context("a connectivity check is not answered")?;
    let answer = Message::parse(&buffer[..received])?;
    let good = answer.class() == Class::SuccessResponse && answer.check_message_integrity(password);
    ensure!(good, "a connectivity check is answered with {:?}", answer.class());

    let fingerprints = dump.pointer("/dtlsParameters/fingerprints").and_then(Value::as_array);
    let remote = fingerprints.into_iter().flatten().find(|one| one["algorithm"] == "sha-256");
    let remote = remote.and_then(|one| one["value"].as_str()).context("the dump has no sha-256 fingerprint")?;
    let mut dtls = Dtls::new(certificate, Role::Client, Some(Fingerprint::parse("sha-256", remote)?))?;
    let deadline = Instant::now() + PATIENCE;
    dtls.start(Instant::now());
    loop {
        while let Some(datagram) = dtls.poll_transmit() {
            socket.send(&datagram)?;
        }
        match dtls.poll_event() {
            Some(Event::Connected { .. }) => return Ok(()),
            Some(other) => bail!("the handshake ends with {other:?}"),
            None => {}
        }
        ensure!(Instant::now() < deadline, "the handshake does not end");
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        match socket.recv(&mut buffer) {
            // RFC 7983 §7: the first byte tells DTLS from STUN and RTP.
            Ok(received) if (20..64).contains(&buffer[0]) => dtls.handle_packet(Instant::now(), &buffer[..received])?,
            Ok(_) => {}
            Err(_) => dtls.handle_timeout(Instant::now()),
        }
    }
}
