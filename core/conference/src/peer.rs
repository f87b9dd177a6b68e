//! A peer: one connection, and what it has made in its room.
//!
//! Requests of a peer are handled one after the other; requests to it (`newConsumer`, `subscribe`) wait for their
//! answers meanwhile, in tasks of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use sfu_channel::{PreferredLayers, RtpCapabilities};
use sfu_control::{
    Consumer, WebRtcTransport, ortc,
    sdp::{SessionDescription, extract_rtp_capabilities},
};
use tokio::sync::broadcast;
use tracing::debug;

use crate::{
    protoo::{self, Connection, ErrorResponse},
    receiving::{self, Change, Changes, Style},
    room::Room,
    schema::{BAD_REQUEST, ConnectWebRtcTransport, FAILED, Join, Request, nothing},
    sending::{Published, Sending},
    transport::Transport,
    workers::Occupancy,
};

pub(crate) type Answer = Result<Value, ErrorResponse>;

/// One participant.
#[derive(Debug)]
pub struct Peer {
    id: String,
    connection: Connection,
    room: Arc<Room>,
    _occupancy: Occupancy,
    /// What the receiving side has yet to do.
    changes: Arc<Changes>,
    state: Mutex<State>,
    /// The connections on which the peer sends by SDP, by transport. Only the peer's own requests touch them.
    pub(crate) sending: tokio::sync::Mutex<HashMap<String, Sending>>,
}

#[derive(Debug, Default)]
struct State {
    joined: Option<Joined>,
    departed: bool,
    /// In the order in which they were made.
    transports: Vec<Transport>,
    producers: HashMap<String, Arc<Published>>,
    consumers: HashMap<String, Consumer>,
    /// Whether the receiving side is at work.
    receiving: bool,
}

/// What a peer has said of itself.
#[derive(Debug)]
struct Joined {
    display_name: String,
    device: Map<String, Value>,
    /// How and what it receives, if it does.
    receives: Option<(Style, RtpCapabilities)>,
}

impl State {
    /// The transport that consumers go to.
    fn receiving_transport(&self) -> Option<&WebRtcTransport> {
        self.transports.iter().find(|transport| transport.consuming).map(|transport| &transport.handle)
    }
}

impl Peer {
    /// A peer that has just connected.
    #[must_use]
    pub fn new(id: String, connection: Connection, room: Arc<Room>) -> Arc<Self> {
        connection.notify("mediasoup-version", json!({ "version": sfu_control::PROTOCOL_VERSION }));
        Arc::new(Self {
            id,
            connection,
            _occupancy: room.place().occupy(),
            room,
            changes: Arc::default(),
            state: Mutex::default(),
            sending: tokio::sync::Mutex::default(),
        })
    }

    /// The id that the client has chosen.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The way to the client.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The room that the peer is in.
    #[must_use]
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Handles one request and answers it.
    pub async fn handle(self: &Arc<Self>, protoo::Request { id, method, data }: protoo::Request) {
        let answer = match Request::parse(&method, data) {
            Ok(Request::Join(join)) => {
                // The answer has to go out under the room's lock, before anything that follows from it.
                let answered = self.join(*join, |data| self.connection.respond(id.clone(), Ok(data)));
                match answered {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Ok(request) => self.perform(request).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            debug!("peer {:?}: {method:?} refused: {error}", self.id);
        }
        self.connection.respond(id, answer);
    }

    /// Gives back what the peer has made. Nothing new can be made afterwards.
    pub async fn close(&self) {
        let transports: Vec<_> = {
            let mut state = self.state();
            state.departed = true;
            state.joined = None;
            state.producers.clear();
            state.consumers.clear();
            state.transports.drain(..).map(|transport| transport.handle).collect()
        };
        for transport in transports {
            if let Err(error) = transport.close().await {
                debug!("transport {}: {error}", transport.id());
            }
        }
    }

    // What the room calls, under its lock.

    /// What the others see of the peer, once it has joined.
    #[must_use]
    pub fn describe(&self) -> Option<Value> {
        let state = self.state();
        let Joined { display_name, device, .. } = state.joined.as_ref()?;
        Some(json!({ "id": self.id, "displayName": display_name, "device": device }))
    }

    /// Whether the peer takes part.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.state().joined.is_some()
    }

    /// What the peer produces.
    #[must_use]
    pub fn producers(&self) -> Vec<Arc<Published>> {
        self.state().producers.values().cloned().collect()
    }

    /// Remembers a producer of the peer.
    pub fn keep_producer(&self, published: Arc<Published>) {
        self.state().producers.insert(published.producer.id().to_owned(), published);
    }

    /// Forgets a producer that is closed, or about to be.
    pub(crate) fn forget_producer(&self, id: &str) {
        self.state().producers.remove(id);
    }

    /// Lets the peer consume what another produces as soon as it has a transport for it, if it receives at all.
    pub fn consume(&self, published: Arc<Published>) {
        if self.state().joined.as_ref().is_some_and(|joined| joined.receives.is_some()) {
            self.change(Change::Consume(published));
        }
    }

    /// Makes the peer invisible. Returns whether it was visible.
    #[must_use]
    pub fn depart(&self) -> bool {
        let mut state = self.state();
        state.departed = true;
        state.joined.take().is_some()
    }

    // What receiving calls.

    /// Remembers a consumer of the peer; none is kept after the peer has gone.
    pub(crate) fn keep_consumer(&self, consumer: Consumer) {
        let mut state = self.state();
        if !state.departed {
            state.consumers.insert(consumer.id().to_owned(), consumer);
        }
    }

    /// Forgets a consumer that is closed.
    pub(crate) fn forget_consumer(&self, id: &str) {
        self.state().consumers.remove(id);
    }

    /// Tells the receiving side.
    pub(crate) fn change(&self, change: Change) {
        self.changes.push(change);
    }

    // What making transports calls.

    pub(crate) fn transport_count(&self) -> usize {
        self.state().transports.len()
    }

    /// Whether consumers go to the transport of this id.
    pub(crate) fn receives_on(&self, id: &str) -> bool {
        self.state().receiving_transport().is_some_and(|transport| transport.id() == id)
    }

    /// Remembers a transport of the peer; returns whether the peer is still here.
    #[must_use]
    pub(crate) fn keep_transport(&self, transport: Transport) -> bool {
        let mut state = self.state();
        if !state.departed {
            state.transports.push(transport);
        }
        !state.departed
    }

    // The requests.

    async fn perform(self: &Arc<Self>, request: Request) -> Answer {
        match request {
            Request::GetRouterRtpCapabilities => to_json(self.room.router().rtp_capabilities()),
            Request::CreateWebRtcTransport(options) => self.create_transport(options).await,
            Request::ConnectWebRtcTransport(ConnectWebRtcTransport { transport_id, dtls_parameters }) => {
                self.transport(&transport_id)?.connect(dtls_parameters).await.map_err(failed)?;
                Ok(nothing())
            }
            Request::RestartIce(id) => self.restart_ice(&id.transport_id).await,
            // Answered elsewhere, under the room's lock.
            Request::Join(_) => Ok(nothing()),
            Request::Publish(publish) => self.publish(publish).await,
            Request::Produce(produce) => self.produce(*produce).await,
            Request::CloseProducer(id) => {
                let published = self.producer(&id.producer_id)?;
                self.forget_producer(&id.producer_id);
                published.producer.close().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::PauseProducer(id) => {
                self.producer(&id.producer_id)?.producer.pause().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::ResumeProducer(id) => {
                self.producer(&id.producer_id)?.producer.resume().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::PauseConsumer(id) => {
                self.consumer(&id.consumer_id)?.pause().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::ResumeConsumer(id) => {
                self.consumer(&id.consumer_id)?.resume().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::SetConsumerPreferredLayers(wanted) => {
                let consumer = self.consumer(&wanted.consumer_id)?;
                let layers = PreferredLayers {
                    spatial_layer: wanted.spatial_layer.into(),
                    temporal_layer: wanted.temporal_layer.map(u16::from),
                };
                consumer.set_preferred_layers(layers).await.map_err(failed)?;
                Ok(nothing())
            }
            Request::SetConsumerPriority(wanted) => {
                self.consumer(&wanted.consumer_id)?.set_priority(wanted.priority).await.map_err(failed)?;
                Ok(nothing())
            }
            Request::RequestConsumerKeyFrame(id) => {
                self.consumer(&id.consumer_id)?.request_key_frame().await.map_err(failed)?;
                Ok(nothing())
            }
            Request::ChangeDisplayName(name) => self.rename(name.display_name),
            Request::GetTransportStats(id) => {
                to_json(self.transport(&id.transport_id)?.get_stats().await.map_err(failed)?)
            }
            Request::GetProducerStats(id) => {
                to_json(self.producer(&id.producer_id)?.producer.get_stats().await.map_err(failed)?)
            }
            Request::GetConsumerStats(id) => {
                to_json(self.consumer(&id.consumer_id)?.get_stats().await.map_err(failed)?)
            }
        }
    }

    fn join(self: &Arc<Self>, join: Join, answer: impl FnOnce(Value)) -> Result<(), ErrorResponse> {
        let receives = match (join.sdp, join.rtp_capabilities) {
            (Some(sdp), _) => {
                let sdp: SessionDescription = sdp.parse().map_err(|reason| bad("join", "sdp", &reason))?;
                let mut capabilities = extract_rtp_capabilities(&sdp);
                ortc::validate_rtp_capabilities(&mut capabilities).map_err(|reason| bad("join", "sdp", &reason))?;
                let capabilities =
                    ortc::get_recv_rtp_capabilities(&capabilities, self.room.router().rtp_capabilities());
                Some((Style::Sdp, capabilities))
            }
            (None, Some(mut capabilities)) => {
                ortc::validate_rtp_capabilities(&mut capabilities)
                    .map_err(|reason| bad("join", "rtpCapabilities", &reason))?;
                Some((Style::Ortc, capabilities))
            }
            (None, None) => None,
        };
        {
            let mut state = self.state();
            if state.joined.is_some() {
                return Err(error(FAILED, "Peer already joined".into()));
            }
            if state.departed {
                return Err(error(FAILED, "the peer has left".into()));
            }
            state.joined = Some(Joined { display_name: join.display_name, device: join.device.0, receives });
        }
        self.room.join(self, answer);
        self.begin_to_receive();
        Ok(())
    }

    /// Starts the receiving side once it is known what and on which transport.
    pub(crate) fn begin_to_receive(self: &Arc<Self>) {
        let mut state = self.state();
        let Some((style, capabilities)) = state.joined.as_ref().and_then(|joined| joined.receives.clone()) else {
            return;
        };
        let Some(transport) = state.receiving_transport().cloned() else { return };
        if !std::mem::replace(&mut state.receiving, true) {
            let changes = Arc::clone(&self.changes);
            tokio::spawn(receiving::run(Arc::clone(self), transport, style, capabilities, changes));
        }
    }

    fn rename(self: &Arc<Self>, name: String) -> Answer {
        let old = {
            let mut state = self.state();
            let joined = state.joined.as_mut().ok_or_else(not_joined)?;
            std::mem::replace(&mut joined.display_name, name.clone())
        };
        let data = json!({ "peerId": self.id, "displayName": name, "oldDisplayName": old });
        self.room.tell_others(self, "peerDisplayNameChanged", &data);
        Ok(nothing())
    }

    pub(crate) fn check_joined(&self) -> Result<(), ErrorResponse> {
        if self.has_joined() { Ok(()) } else { Err(not_joined()) }
    }

    pub(crate) fn transport(&self, id: &str) -> Result<WebRtcTransport, ErrorResponse> {
        let state = self.state();
        let found = state.transports.iter().find(|transport| transport.handle.id() == id);
        found.map(|transport| transport.handle.clone()).ok_or_else(|| not_found("transport", id))
    }

    fn producer(&self, id: &str) -> Result<Arc<Published>, ErrorResponse> {
        self.check_joined()?;
        self.state().producers.get(id).cloned().ok_or_else(|| not_found("producer", id))
    }

    fn consumer(&self, id: &str) -> Result<Consumer, ErrorResponse> {
        self.check_joined()?;
        self.state().consumers.get(id).cloned().ok_or_else(|| not_found("consumer", id))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next event, past those that were missed; `None` when there will be no more.
pub(crate) async fn next<E: Clone>(events: &mut broadcast::Receiver<E>) -> Option<E> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}

pub(crate) fn to_json(value: impl serde::Serialize) -> Answer {
    serde_json::to_value(value).map_err(|reason| error(FAILED, reason.to_string()))
}

pub(crate) fn error(code: i64, reason: String) -> ErrorResponse {
    ErrorResponse { code, reason }
}

pub(crate) fn failed(reason: sfu_control::Error) -> ErrorResponse {
    error(FAILED, reason.to_string())
}

pub(crate) fn bad(method: &str, field: &str, reason: &dyn std::fmt::Display) -> ErrorResponse {
    error(BAD_REQUEST, format!("{method}: field \"{field}\": {reason}"))
}

fn not_joined() -> ErrorResponse {
    error(FAILED, "Peer not yet joined".into())
}

fn not_found(what: &str, id: &str) -> ErrorResponse {
    error(FAILED, format!("{what} with id \"{id}\" not found"))
}
