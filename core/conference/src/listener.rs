//! One port for everything: TLS connections are served, plain HTTP is sent to `https:`.
//!
//! The first byte tells the two apart: a TLS client begins with a handshake record, type 22.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use openssl::ssl::{Ssl, SslAcceptor};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_openssl::SslStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cli::Listen;

/// A client that has not finished its TLS handshake or its request's head by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections served at once.
const MAX_CONNECTIONS: u32 = 10_000;
/// The content type of a TLS handshake record, RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 22;

/// Why the port cannot be had. Each says what to do.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("{0} is in use, perhaps by another conference; stop that one, or choose a port with --listen PORT")]
    InUse(SocketAddr),
    /// The machine has no such address.
    #[error("this machine has no address {}; give one of its own to --listen", .0.ip())]
    NoSuchAddress(SocketAddr),
    /// Low ports are reserved.
    #[error("this user may not listen on port {}; choose one above 1023 with --listen PORT", .0.port())]
    NotAllowed(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}; choose another with --listen ADDRESS:PORT")]
    Other(SocketAddr, io::Error),
}

/// Binds one address; without one, the port on every address of both families, or of IPv4 where the machine has no
/// IPv6.
///
/// # Errors
///
/// [`ListenError`] when the system refuses.
pub async fn bind(Listen { ip, port }: Listen) -> Result<TcpListener, ListenError> {
    if let Some(ip) = ip {
        return bind_one((ip, port).into()).await;
    }
    match bind_one((std::net::Ipv6Addr::UNSPECIFIED, port).into()).await {
        Err(ListenError::NoSuchAddress(_) | ListenError::Other(..)) => {
            bind_one((std::net::Ipv4Addr::UNSPECIFIED, port).into()).await
        }
        result => result,
    }
}

async fn bind_one(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress(address),
        io::ErrorKind::PermissionDenied => ListenError::NotAllowed(address),
        _ => ListenError::Other(address, error),
    })
}

/// Serves `app` until `stop`, and then until its connections have ended.
pub async fn serve(listener: TcpListener, tls: SslAcceptor, app: Router, stop: CancellationToken) {
    let tls = Arc::new(tls);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            warn!("too many connections: {from} turned away");
            continue;
        };
        let (tls, app, stop) = (Arc::clone(&tls), app.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, &tls, app, stop).await {
                debug!("connection from {from}: {error}");
            }
            drop(slot);
        });
    }
    // All slots are free when all connections have ended.
    let _ = slots.acquire_many(MAX_CONNECTIONS).await;
}

async fn connection(
    stream: TcpStream,
    tls: &SslAcceptor,
    app: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await?? == 0 {
        return Ok(());
    }
    if first[0] != TLS_HANDSHAKE {
        return http(stream, Router::new().fallback(to_https), stop).await;
    }
    let mut stream = SslStream::new(Ssl::new(tls.context())?, stream)?;
    timeout(HANDSHAKE_TIMEOUT, Pin::new(&mut stream).accept()).await??;
    http(stream, app, stop).await
}

async fn http<S>(
    stream: S,
    app: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => result?,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await?;
        }
    }
    Ok(())
}

/// Whoever speaks plain HTTP to this port has forgotten the `s`.
async fn to_https(request: Request<Body>) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("https://{host}{path}"));
    let mut response = Response::new(Body::from("This conference speaks HTTPS: open it with https:// in front.\n"));
    match location {
        Ok(location) if !host.is_empty() => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
        }
        _ => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_explained() {
        let loopback = Some([127, 0, 0, 1].into());
        let first = bind(Listen { ip: loopback, port: 0 }).await.expect("a port");
        let port = first.local_addr().expect("bound").port();
        let error = bind(Listen { ip: loopback, port }).await.expect_err("in use").to_string();
        assert!(error.contains("in use") && error.contains("--listen"), "{error}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_explained() {
        let error = bind(Listen { ip: Some([192, 0, 2, 1].into()), port: 0 }).await.expect_err("foreign").to_string();
        assert!(error.contains("no address 192.0.2.1"), "{error}");
    }
}
