//! A client of the library with settings of its own, to be what [`Dtls`] never is.

use super::super::*;
use super::{CERTIFICATES, CLIENT, SERVER};
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslVerifyMode};

/// The client.
pub(super) struct PlainClient {
    pub stream: SslStream<Datagrams>,
    elapsed: Duration,
}

impl PlainClient {
    pub fn new(mtu: u32, settings: impl FnOnce(&mut SslContextBuilder)) -> PlainClient {
        let mut builder = SslContext::builder(SslMethod::dtls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        ffi::set_clock(&mut builder);
        settings(&mut builder);
        let mut ssl = Ssl::new(&builder.build()).unwrap();
        ssl.set_connect_state();
        ssl.set_mtu(mtu).unwrap();
        PlainClient { stream: SslStream::new(ssl, Datagrams::default()).unwrap(), elapsed: Duration::ZERO }
    }

    /// Goes as far as it can and returns what it sends.
    pub fn advance(&mut self) -> Vec<Vec<u8>> {
        let _ = ffi::with_clock(self.elapsed, || self.stream.do_handshake());
        self.transmits()
    }

    /// Lets the retransmission timer run out and returns what the client sends again.
    pub fn retransmit(&mut self) -> Vec<Vec<u8>> {
        self.elapsed += Duration::from_secs(1);
        ffi::with_clock(self.elapsed, || ffi::handle_timeout(&mut self.stream)).unwrap();
        self.transmits()
    }

    fn transmits(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.stream.get_mut().transmit()).collect()
    }

    /// A handshake with a [`server`].
    pub fn connect(&mut self) -> Vec<Event> {
        self.connect_to(&mut server(), Instant::now())
    }

    /// The rest of a handshake with a server; returns the server's events.
    pub fn connect_to(&mut self, server: &mut Dtls, now: Instant) -> Vec<Event> {
        server.start(now);
        for _ in 0..4 {
            for datagram in self.advance() {
                let _ = server.handle_packet(now, &datagram);
            }
            self.receive_from(server);
        }
        std::iter::from_fn(|| server.poll_event()).collect()
    }

    /// Takes what a server has to send.
    pub fn receive_from(&mut self, server: &mut Dtls) {
        while let Some(datagram) = server.poll_transmit() {
            self.stream.get_mut().receive(&datagram);
        }
    }
}

/// A server that expects the certificate of [`identify`].
pub(super) fn server() -> Dtls {
    let remote = CERTIFICATES[CLIENT].fingerprint(FingerprintAlgorithm::Sha256).unwrap();
    Dtls::new(&CERTIFICATES[SERVER], Role::Server, Some(remote)).unwrap()
}

/// Gives a client the certificate of `CERTIFICATES[CLIENT]`.
pub(super) fn identify(builder: &mut SslContextBuilder) {
    let certificate = CERTIFICATES[CLIENT].to_pem().unwrap();
    let key = CERTIFICATES[CLIENT].private_key_to_pem().unwrap();
    builder.set_certificate(&openssl::x509::X509::from_pem(certificate.as_bytes()).unwrap()).unwrap();
    builder.set_private_key(&openssl::pkey::PKey::private_key_from_pem(key.as_bytes()).unwrap()).unwrap();
}
