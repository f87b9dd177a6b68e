//! DTLS against the system's `openssl` program over UDP on loopback, in both roles: the SRTP profile and the exported
//! keys must be the same on both ends.

use sfu_proto::dtls::{Certificate, Dtls, Event, Fingerprint, FingerprintAlgorithm, Role, SrtpKeys, State};
use sfu_proto::srtp::Suite;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that a test may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A running `openssl` whose output is read line by line; killed at the end.
struct Openssl {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    deadline: Instant,
    _files: TempDir,
}

impl Openssl {
    /// Starts `openssl` with its certificate, the keying material's export, and the profiles that it may use.
    fn start(command: &str, certificate: &Certificate, profiles: &str, export: usize, more: &[&str]) -> Openssl {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            let path = files.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let cert = file("cert.pem", certificate.to_pem().unwrap());
        let key = file("key.pem", certificate.private_key_to_pem().unwrap());
        let mut child = Command::new("openssl")
            .args([command, "-dtls1_2", "-use_srtp", profiles, "-keymatexport", "EXTRACTOR-dtls_srtp"])
            .args(["-keymatexportlen", &export.to_string()])
            .args([Path::new("-cert"), &cert, Path::new("-key"), &key])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program openssl is installed");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Openssl { child, lines, seen: String::new(), deadline: Instant::now() + LIMIT, _files: files }
    }

    /// The rest of the next line that has `prefix`, from there on.
    fn await_line(&mut self, prefix: &str) -> String {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(error) => panic!("waiting for {prefix:?}: {error}; openssl has printed:\n{}", self.seen),
            };
            if let Some((_, rest)) = line.split_once(prefix) {
                return rest.trim().to_owned();
            }
            self.seen += &format!("{line}\n");
        }
    }

    fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An association on a socket.
struct Endpoint {
    dtls: Dtls,
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    deadline: Instant,
}

impl Endpoint {
    fn new(dtls: Dtls, peer: Option<SocketAddr>) -> Endpoint {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Endpoint { dtls, socket, peer, deadline: Instant::now() + LIMIT }
    }

    /// Runs until there is an event.
    fn next_event(&mut self) -> Event {
        let mut buffer = [0; 2048];
        loop {
            while let (Some(peer), Some(datagram)) = (self.peer, self.dtls.poll_transmit()) {
                self.socket.send_to(&datagram, peer).unwrap();
            }
            if let Some(event) = self.dtls.poll_event() {
                return event;
            }
            let now = Instant::now();
            assert!(now < self.deadline, "nothing happens any more");
            let until = self.dtls.poll_timeout().map_or(self.deadline, |at| at.min(self.deadline));
            let wait = until.saturating_duration_since(now).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    self.peer = Some(from);
                    let _ = self.dtls.handle_packet(Instant::now(), &buffer[..len]);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            self.dtls.handle_timeout(Instant::now());
        }
    }

    fn connect(&mut self) -> SrtpKeys {
        match self.next_event() {
            Event::Connected { keys, .. } => keys,
            event => panic!("{event:?}"),
        }
    }

    fn flush(&mut self) {
        while let (Some(peer), Some(datagram)) = (self.peer, self.dtls.poll_transmit()) {
            self.socket.send_to(&datagram, peer).unwrap();
        }
    }
}

fn fingerprint(certificate: &Certificate) -> Option<Fingerprint> {
    Some(certificate.fingerprint(FingerprintAlgorithm::Sha256).unwrap())
}

/// The exporter's output that the two directions' keys were cut from (RFC 5764 §4.2), as openssl prints it.
fn material(suite: Suite, client: &[u8], server: &[u8]) -> String {
    let (client_key, client_salt) = client.split_at(suite.key_len());
    let (server_key, server_salt) = server.split_at(suite.key_len());
    let all = [client_key, server_key, client_salt, server_salt].concat();
    all.iter().map(|byte| format!("{byte:02X}")).collect()
}

const OFFERS: [(&str, Suite); 3] = [
    ("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM", Suite::AeadAes256Gcm),
    ("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", Suite::AeadAes128Gcm),
    ("SRTP_AES128_CM_SHA1_80", Suite::AesCm128HmacSha1_80),
];

#[test]
fn our_server_and_openssl_s_client() {
    for (profiles, suite) in OFFERS {
        let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        let mut dtls = Dtls::new(&ours, Role::Server, fingerprint(&theirs)).unwrap();
        dtls.start(Instant::now());
        let mut server = Endpoint::new(dtls, None);
        let address = server.socket.local_addr().unwrap().to_string();
        let mut openssl =
            Openssl::start("s_client", &theirs, profiles, 2 * suite.key_and_salt_len(), &["-connect", &address]);

        let keys = server.connect();
        assert_eq!(keys.suite, suite, "the server's order decides");
        assert_eq!(openssl.await_line("SRTP Extension negotiated, profile="), suite.profile_name());
        assert_eq!(openssl.await_line("Keying material: "), material(suite, &keys.remote, &keys.local));

        openssl.say("from openssl\n");
        assert_eq!(server.next_event(), Event::Data(b"from openssl\n".to_vec()));
        server.dtls.send(b"from us\n").unwrap();
        server.flush();
        openssl.await_line("from us");
        openssl.say("Q\n");
        assert_eq!(server.next_event(), Event::Closed);
        assert_eq!(server.dtls.state(), State::Closed);
    }
}

#[test]
fn our_client_and_openssl_s_server() {
    for (profiles, _) in OFFERS {
        let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        // openssl takes the first of its own profiles that we offer.
        let suite = Suite::from_profile_name(profiles.split(':').next().unwrap()).unwrap();
        let mut openssl = Openssl::start(
            "s_server",
            &theirs,
            profiles,
            2 * suite.key_and_salt_len(),
            &["-accept", "127.0.0.1:0", "-Verify", "1"],
        );
        let address = openssl.await_line("ACCEPT ").parse().unwrap();
        let mut dtls = Dtls::new(&ours, Role::Client, fingerprint(&theirs)).unwrap();
        dtls.start(Instant::now());
        let mut client = Endpoint::new(dtls, Some(address));

        let keys = client.connect();
        assert_eq!(keys.suite, suite);
        assert_eq!(openssl.await_line("SRTP Extension negotiated, profile="), suite.profile_name());
        assert_eq!(openssl.await_line("Keying material: "), material(suite, &keys.local, &keys.remote));

        client.dtls.send(b"from us\n").unwrap();
        client.flush();
        openssl.await_line("from us");
        client.dtls.close();
        client.flush();
        openssl.await_line("DONE");
    }
}

/// The peer has a certificate, but not the one that was announced.
#[test]
fn openssl_with_another_certificate_is_refused() {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let mut dtls = Dtls::new(&ours, Role::Server, fingerprint(&ours)).unwrap();
    dtls.start(Instant::now());
    let mut server = Endpoint::new(dtls, None);
    let address = server.socket.local_addr().unwrap().to_string();
    let _openssl = Openssl::start("s_client", &theirs, "SRTP_AEAD_AES_256_GCM", 88, &["-connect", &address]);
    assert!(matches!(server.next_event(), Event::Failed(_)));
}
