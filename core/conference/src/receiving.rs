//! What a peer receives: the consumers of everybody else's producers, and how its client is told of them.
//!
//! One task for each peer makes the consumers in the order in which the producers came. A client that negotiates by
//! ORTC gets a request `newConsumer` for each; one that leaves SDP to the server gets requests `subscribe` with an
//! offer of everything, one at a time.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use sfu_channel::{IceParameters, RtpCapabilities};
use sfu_control::{
    Consumer, ConsumerEvent, ConsumerOptions, WebRtcTransport, ortc,
    sdp::{ReceiveNegotiator, ReceiveSection},
};
use tokio::sync::{Notify, broadcast};
use tracing::{debug, warn};

use crate::{
    peer::{Peer, next},
    protoo::{CloseReason, ErrorResponse},
    schema::Subscribed,
    sending::Published,
    transport::local,
};

/// How a client negotiates what it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// It makes its own SDP out of RTP parameters, as mediasoup-client does.
    Ortc,
    /// It hands SDP through.
    Sdp,
}

/// What the receiving side has to react to.
#[derive(Debug)]
pub enum Change {
    /// Somebody produces.
    Consume(Arc<Published>),
    /// A producer has closed, and with it the consumer of this id.
    Closed(String),
    /// The transport has new ICE credentials.
    IceRestarted(IceParameters),
}

/// The changes that wait, in their order. There are never more than there is to receive, however long a client takes
/// to answer: what has become pointless meanwhile is dropped.
#[derive(Debug, Default)]
pub struct Changes {
    waiting: Mutex<VecDeque<Change>>,
    arrived: Notify,
}

impl Changes {
    /// Adds a change.
    pub fn push(&self, change: Change) {
        let mut waiting = self.waiting();
        let restarted = matches!(change, Change::IceRestarted(_));
        waiting.retain(|earlier| match earlier {
            Change::Consume(published) => !published.producer.closed(),
            Change::Closed(_) => true,
            Change::IceRestarted(_) => !restarted,
        });
        waiting.push_back(change);
        self.arrived.notify_one();
    }

    /// The first of those that wait, if any does.
    fn pop(&self) -> Option<Change> {
        self.waiting().pop_front()
    }

    /// The first, when there is one. Only one task may wait.
    async fn next(&self) -> Change {
        loop {
            if let Some(change) = self.pop() {
                return change;
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `peer` until its connection ends.
pub async fn run(
    peer: Arc<Peer>,
    transport: WebRtcTransport,
    style: Style,
    capabilities: RtpCapabilities,
    changes: Arc<Changes>,
) {
    let negotiator = ReceiveNegotiator::new(local(&transport));
    let mut receiving = Receiving { peer, transport, style, capabilities, negotiator, subscriptions: HashMap::new() };
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = receiving.peer.connection().closed() => return,
        };
        receiving.apply(change).await;
        // What else has come meanwhile goes into the same offer.
        while let Some(change) = changes.pop() {
            receiving.apply(change).await;
        }
        if let Err(error) = receiving.negotiate().await {
            if receiving.peer.connection().is_closed() {
                return;
            }
            warn!("peer {:?} does not take an offer: {error}", receiving.peer.id());
            // Nothing can be offered before this one is answered, so the client has to begin anew.
            receiving.peer.connection().close(CloseReason::Restart);
            return;
        }
    }
}

struct Receiving {
    peer: Arc<Peer>,
    transport: WebRtcTransport,
    style: Style,
    capabilities: RtpCapabilities,
    negotiator: ReceiveNegotiator,
    /// What is offered by SDP, by mid.
    subscriptions: HashMap<String, Subscription>,
}

struct Subscription {
    consumer: Consumer,
    published: Arc<Published>,
    /// What the client was told last while it could not listen yet.
    told_paused: bool,
}

impl Receiving {
    async fn apply(&mut self, change: Change) {
        match change {
            Change::Consume(published) => self.consume(published).await,
            Change::Closed(id) => {
                self.subscriptions.retain(|mid, subscription| {
                    let stays = subscription.consumer.id() != id;
                    if !stays {
                        self.negotiator.remove(mid);
                    }
                    stays
                });
            }
            Change::IceRestarted(parameters) => self.negotiator.restart_ice(parameters),
        }
    }

    async fn consume(&mut self, published: Arc<Published>) {
        let producer = &published.producer;
        let consumable = producer.consumable_rtp_parameters();
        if !ortc::can_consume(consumable, &self.capabilities) {
            debug!("peer {:?} cannot receive producer {}", self.peer.id(), producer.id());
            return;
        }
        for _ in 0..=self.peer.room().consumer_replicas() {
            self.consume_once(Arc::clone(&published)).await;
        }
    }

    async fn consume_once(&mut self, published: Arc<Published>) {
        let producer = &published.producer;
        let options = ConsumerOptions {
            paused: true,
            enable_rtx: Some(true),
            ignore_dtx: true,
            ..ConsumerOptions::new(producer.id(), self.capabilities.clone())
        };
        let consumer = match self.transport.consume(options).await {
            Ok(consumer) => consumer,
            // The producer may have closed before it came to this.
            Err(error) => {
                debug!("peer {:?} does not consume {}: {error}", self.peer.id(), producer.id());
                return;
            }
        };
        self.peer.keep_consumer(consumer.clone());
        tokio::spawn(watch(Arc::clone(&self.peer), consumer.events(), consumer.clone()));
        match self.style {
            Style::Ortc => {
                tokio::spawn(announce(Arc::clone(&self.peer), consumer, published));
            }
            Style::Sdp => self.offer(consumer, published),
        }
    }

    fn offer(&mut self, consumer: Consumer, published: Arc<Published>) {
        let parameters = consumer.rtp_parameters().clone();
        let mid = parameters.mid.clone().unwrap_or_default();
        let section = ReceiveSection {
            kind: consumer.kind(),
            rtp_parameters: parameters,
            // Sound and picture of one peer play in step.
            stream_id: token(&published.peer_id),
            track_id: consumer.id().to_owned(),
        };
        match self.negotiator.add(section) {
            Ok(()) => {
                let told_paused = consumer.producer_paused();
                self.subscriptions.insert(mid, Subscription { consumer, published, told_paused });
            }
            Err(error) => warn!("consumer {} cannot be offered: {error}", consumer.id()),
        }
    }

    /// Offers what has changed until the client knows it all.
    async fn negotiate(&mut self) -> Result<(), String> {
        while let Some(sdp) = self.negotiator.offer() {
            let consumers: Vec<Value> =
                self.subscriptions.iter_mut().map(|(mid, subscription)| subscription.describe(mid)).collect();
            let data = json!({ "transportId": self.transport.id(), "sdp": sdp, "consumers": consumers });
            let answer = match self.peer.connection().request("subscribe", data).await {
                Ok(answer) => Subscribed::parse(answer).map_err(|ErrorResponse { reason, .. }| reason)?,
                Err(error) => return Err(error.to_string()),
            };
            let answer = self.negotiator.answer(&answer.sdp).map_err(|error| error.to_string())?;
            if let Some(parameters) = answer.dtls_parameters {
                self.transport.connect(parameters).await.map_err(|error| error.to_string())?;
            }
            for mid in answer.accepted {
                let Some(subscription) = self.subscriptions.get_mut(&mid) else { continue };
                start(&self.peer, &subscription.consumer, subscription.told_paused).await;
                subscription.told_paused = subscription.consumer.producer_paused();
            }
            for mid in answer.rejected {
                if let Some(subscription) = self.subscriptions.remove(&mid) {
                    close(&self.peer, &subscription.consumer).await;
                }
            }
        }
        Ok(())
    }
}

impl Subscription {
    fn describe(&mut self, mid: &str) -> Value {
        let Self { consumer, published, .. } = self;
        self.told_paused = consumer.producer_paused();
        json!({
            "id": consumer.id(),
            "mid": mid,
            "peerId": published.peer_id,
            "producerId": published.producer.id(),
            "kind": consumer.kind(),
            "type": consumer.rtp_type(),
            "appData": published.app_data,
            "producerPaused": self.told_paused,
        })
    }
}

/// Tells a client that negotiates by ORTC of a consumer, and starts it when the client is ready.
async fn announce(peer: Arc<Peer>, consumer: Consumer, published: Arc<Published>) {
    let told_paused = consumer.producer_paused();
    let data = json!({
        "peerId": published.peer_id,
        "producerId": published.producer.id(),
        "id": consumer.id(),
        "kind": consumer.kind(),
        "rtpParameters": consumer.rtp_parameters(),
        "type": consumer.rtp_type(),
        "appData": published.app_data,
        "producerPaused": told_paused,
    });
    match peer.connection().request("newConsumer", data).await {
        Ok(_) => start(&peer, &consumer, told_paused).await,
        Err(error) => {
            debug!("peer {:?} does not take consumer {}: {error}", peer.id(), consumer.id());
            close(&peer, &consumer).await;
        }
    }
}

/// Lets media flow to a client that is ready for it, and tells what it could not hear before.
async fn start(peer: &Peer, consumer: &Consumer, told_paused: bool) {
    if let Err(error) = consumer.resume().await {
        debug!("consumer {}: {error}", consumer.id());
        return;
    }
    tell_score(peer, consumer);
    if consumer.producer_paused() != told_paused {
        tell_pause(peer, consumer);
    }
}

async fn close(peer: &Peer, consumer: &Consumer) {
    peer.forget_consumer(consumer.id());
    if let Err(error) = consumer.close().await {
        debug!("consumer {}: {error}", consumer.id());
    }
}

/// Passes on what happens to a consumer, until it closes.
async fn watch(peer: Arc<Peer>, mut events: broadcast::Receiver<ConsumerEvent>, consumer: Consumer) {
    // The producer may have closed before anybody listened.
    while !consumer.closed() {
        let Some(event) = next(&mut events).await else { break };
        match event {
            ConsumerEvent::ProducerClose => break,
            ConsumerEvent::Close | ConsumerEvent::TransportClose => return,
            ConsumerEvent::ProducerPause | ConsumerEvent::ProducerResume => tell_pause(&peer, &consumer),
            ConsumerEvent::Score(_) => tell_score(&peer, &consumer),
            ConsumerEvent::LayersChange(layers) => {
                let data = json!({
                    "consumerId": consumer.id(),
                    "spatialLayer": layers.map(|layers| layers.spatial_layer),
                    "temporalLayer": layers.map(|layers| layers.temporal_layer),
                });
                peer.connection().notify("consumerLayersChanged", data);
            }
            _ => {}
        }
    }
    peer.forget_consumer(consumer.id());
    peer.connection().notify("consumerClosed", json!({ "consumerId": consumer.id() }));
    peer.change(Change::Closed(consumer.id().to_owned()));
}

fn tell_pause(peer: &Peer, consumer: &Consumer) {
    let method = if consumer.producer_paused() { "consumerPaused" } else { "consumerResumed" };
    peer.connection().notify(method, json!({ "consumerId": consumer.id() }));
}

fn tell_score(peer: &Peer, consumer: &Consumer) {
    peer.connection().notify("consumerScore", json!({ "consumerId": consumer.id(), "score": consumer.score() }));
}

/// The text without what an SDP token cannot hold (RFC 8866 section 9).
fn token(text: &str) -> String {
    let token: String =
        text.chars().filter(|character| character.is_ascii_alphanumeric() || "-_.+".contains(*character)).collect();
    if token.is_empty() { "peer".into() } else { token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_ice_credentials_wait() {
        let changes = Changes::default();
        let restarted = |password: &str| {
            let username_fragment = "u".into();
            Change::IceRestarted(IceParameters { username_fragment, password: password.into(), ice_lite: true })
        };
        changes.push(restarted("one"));
        changes.push(Change::Closed("consumer".into()));
        changes.push(restarted("two"));
        assert!(matches!(changes.pop(), Some(Change::Closed(id)) if id == "consumer"));
        assert!(matches!(changes.pop(), Some(Change::IceRestarted(parameters)) if parameters.password == "two"));
        assert!(changes.pop().is_none());
    }
}
