//! A WebRTC server: ports that many WebRTC transports of a worker share.

use std::sync::Arc;

use sfu_channel::dump::WebRtcServerDump;
use sfu_channel::request::{Request, WebRtcServerId};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::entity::{Entity, entity_accessors};
use crate::error::Error;

/// A WebRTC server's handle. Clones are the same server, which lives until it or its worker is closed.
#[derive(Clone)]
pub struct WebRtcServer {
    inner: Arc<Entity<WebRtcServerEvent>>,
}

/// What happens to a WebRTC server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebRtcServerEvent {
    /// It was closed.
    Close,
    /// Its worker was closed or died, and it is closed thereby.
    WorkerClose,
}

impl WebRtcServer {
    pub(crate) fn new(id: String, channel: Channel, closed: CancellationToken) -> Self {
        let server = Self { inner: Arc::new(Entity::new(id, channel, closed.clone())) };
        let entity = server.inner.clone();
        tokio::spawn(async move {
            closed.cancelled().await;
            let itself = entity.closed_itself();
            entity.emit(if itself { WebRtcServerEvent::Close } else { WebRtcServerEvent::WorkerClose });
        });
        server
    }

    entity_accessors!(inner => WebRtcServerEvent);

    /// Closes it and the transports that use it. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        let request = Request::WorkerCloseWebRtcServer(WebRtcServerId { web_rtc_server_id: self.id().to_owned() });
        self.inner.close(None, &request).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<WebRtcServerDump, Error> {
        self.inner.ask(Request::WebRtcServerDump).await
    }
}

impl std::fmt::Debug for WebRtcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcServer").field("id", &self.id()).finish_non_exhaustive()
    }
}
