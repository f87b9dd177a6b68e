//! The WebSocket endpoint: who connects to which room.

use std::sync::Arc;

use axum::{
    extract::{Query, WebSocketUpgrade},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tracing::{info, warn};

use crate::{
    peer::Peer,
    protoo::{CloseReason, Connection, MAX_MESSAGE_SIZE, SUBPROTOCOL},
    rooms::{Lease, Rooms},
};

/// The longest id of a room or a peer, in bytes.
const MAX_ID: usize = 200;
/// More would be a flood rather than an experiment.
const MAX_CONSUMER_REPLICAS: usize = 16;

/// The query of the WebSocket's URL.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Address {
    room_id: String,
    peer_id: String,
    /// A number; mediasoup-demo's app writes "undefined" for none.
    consumer_replicas: String,
}

/// Answers an upgrade to WebSocket with the URL's query `roomId=R&peerId=P`; any path will do.
///
/// What mediasoup-demo refuses is refused as it does, by HTTP. A browser does not tell its page why, so what only this
/// server refuses for ever is accepted and closed with the reason.
pub async fn connect(rooms: Arc<Rooms>, upgrade: WebSocketUpgrade, uri: &axum::http::Uri) -> Response {
    let Ok(Query(Address { room_id, peer_id, consumer_replicas })) = Query::try_from_uri(uri) else {
        return reject(StatusCode::BAD_REQUEST, "the query of the address cannot be read");
    };
    for (name, id) in [("roomId", &room_id), ("peerId", &peer_id)] {
        if id.is_empty() {
            return reject(StatusCode::BAD_REQUEST, &format!("{name} is missing or empty"));
        }
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(MAX_MESSAGE_SIZE).max_frame_size(MAX_MESSAGE_SIZE);
    if upgrade.selected_protocol().is_none() {
        return reject(StatusCode::FORBIDDEN, "the subprotocol must be protoo");
    }
    let too_long = match (room_id.len(), peer_id.len()) {
        (..=MAX_ID, ..=MAX_ID) => None,
        (..=MAX_ID, _) => Some("peerId is longer than 200 bytes"),
        _ => Some("the room's name is longer than 200 bytes"),
    };
    if let Some(reason) = too_long {
        return upgrade.on_upgrade(move |socket| async move {
            let (connection, _requests) = Connection::open(socket);
            connection.close(CloseReason::Refused(reason));
            connection.closed().await;
        });
    }
    let replicas = consumer_replicas.parse().unwrap_or(0).min(MAX_CONSUMER_REPLICAS);
    match rooms.enter(&room_id, replicas).await {
        Ok(lease) => upgrade.on_upgrade(move |socket| async move {
            let (connection, requests) = Connection::open(socket);
            stay(lease, peer_id, connection, requests).await;
        }),
        Err(error) => {
            warn!("room {room_id:?} cannot be opened: {error}");
            reject(StatusCode::SERVICE_UNAVAILABLE, "no media worker is available")
        }
    }
}

/// One peer's time in a room, from its connection to its end.
async fn stay(
    lease: Lease,
    peer_id: String,
    connection: Connection,
    mut requests: tokio::sync::mpsc::Receiver<crate::protoo::Request>,
) {
    let room = lease.room();
    info!("peer {peer_id:?} connects to room {:?}", room.id());
    let peer = Peer::new(peer_id, connection, Arc::clone(room));
    room.admit(&peer);
    loop {
        // What is still queued when the connection ends need not be done.
        let request = tokio::select! {
            () = peer.connection().closed() => None,
            request = requests.recv() => request,
        };
        let Some(request) = request else { break };
        peer.handle(request).await;
    }
    info!("peer {:?} leaves room {:?}", peer.id(), room.id());
    room.dismiss(&peer);
    peer.close().await;
}

fn reject(status: StatusCode, reason: &str) -> Response {
    let mut response = (status, format!("{reason}\n")).into_response();
    if let Ok(reason) = HeaderValue::from_str(reason) {
        response.headers_mut().insert("x-websocket-reject-reason", reason);
    }
    response
}
