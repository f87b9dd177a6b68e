//! A client of the library with settings of its own, to be what [`Dtls`] never is.

use super::super::*;
use super::{CERTIFICATES, CLIENT, SERVER};
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslVerifyMode};

/// A client of the library with settings of its own.
pub(super) struct PlainClient(SslStream<Datagrams>);

impl PlainClient {
    pub fn new(mtu: u32, settings: impl FnOnce(&mut SslContextBuilder)) -> PlainClient {
        let mut builder = SslContext::builder(SslMethod::dtls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        ffi::set_clock(&mut builder);
        settings(&mut builder);
        let mut ssl = Ssl::new(&builder.build()).unwrap();
        ssl.set_connect_state();
        ssl.set_mtu(mtu).unwrap();
        PlainClient(SslStream::new(ssl, Datagrams::default()).unwrap())
    }

    /// Goes as far as it can and returns what it sends.
    pub fn advance(&mut self) -> Vec<Vec<u8>> {
        let _ = ffi::with_clock(Duration::ZERO, || self.0.do_handshake());
        std::iter::from_fn(|| self.0.get_mut().transmit()).collect()
    }

    /// A handshake with a server that knows our certificate as that of `CERTIFICATES[CLIENT]`.
    pub fn connect(&mut self) -> Vec<Event> {
        let remote = CERTIFICATES[CLIENT].fingerprint(FingerprintAlgorithm::Sha256).unwrap();
        let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, Some(remote)).unwrap();
        let now = Instant::now();
        server.start(now);
        for _ in 0..4 {
            for datagram in self.advance() {
                let _ = server.handle_packet(now, &datagram);
            }
            while let Some(datagram) = server.poll_transmit() {
                self.0.get_mut().receive(&datagram);
            }
        }
        std::iter::from_fn(|| server.poll_event()).collect()
    }
}

pub(super) fn identify(builder: &mut SslContextBuilder) {
    let certificate = CERTIFICATES[CLIENT].to_pem().unwrap();
    let key = CERTIFICATES[CLIENT].private_key_to_pem().unwrap();
    builder.set_certificate(&openssl::x509::X509::from_pem(certificate.as_bytes()).unwrap()).unwrap();
    builder.set_private_key(&openssl::pkey::PKey::private_key_from_pem(key.as_bytes()).unwrap()).unwrap();
}
