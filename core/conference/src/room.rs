//! A room: the router that its media goes through, and the peers that are in it.
//!
//! Who is in the room and who produces what changes only under one lock, together with telling the others. So each
//! peer hears of another before it hears of the other's media, and nobody is told twice or forgotten.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use sfu_control::Router;
use tracing::debug;

use crate::{
    addresses::MediaAddress,
    peer::Peer,
    protoo::{CloseReason, Connection},
    sending::Published,
    workers::{Occupancy, Place},
};

/// One room.
#[derive(Debug)]
pub struct Room {
    id: String,
    router: Router,
    place: Place,
    /// Counts as a load even while nobody has joined.
    _occupancy: Occupancy,
    addresses: Vec<MediaAddress>,
    /// How often each peer consumes a producer beyond the first time.
    consumer_replicas: usize,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Room {
    /// An empty room on `router`, which lives on the worker of `place`.
    #[must_use]
    pub fn new(
        id: String,
        router: Router,
        place: Place,
        addresses: Vec<MediaAddress>,
        consumer_replicas: usize,
    ) -> Arc<Self> {
        let occupancy = place.occupy();
        Arc::new(Self {
            id,
            router,
            place,
            _occupancy: occupancy,
            addresses,
            consumer_replicas,
            peers: Mutex::default(),
        })
    }

    /// The room's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the room's media goes through.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Where media arrives.
    #[must_use]
    pub fn addresses(&self) -> &[MediaAddress] {
        &self.addresses
    }

    /// How often each peer consumes a producer beyond the first time, to try a room with more media than people.
    #[must_use]
    pub fn consumer_replicas(&self) -> usize {
        self.consumer_replicas
    }

    /// The room's share of its worker.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Resolves when the worker has died.
    pub fn died(&self) -> impl Future<Output = ()> + Send + 'static {
        self.place.died()
    }

    /// Lets a connected peer in. An older one with the same id is put out, as its page has lost its connection.
    pub fn admit(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers();
        if let Some(older) = peers.insert(peer.id().to_owned(), Arc::clone(peer)) {
            Self::tell_of_departure(&peers, &older);
            older.connection().close(CloseReason::Replaced);
            tokio::spawn(async move { older.close().await });
        }
        // Too late for what was told to everybody.
        if self.router.closed() {
            self.tell_one_of_death(peer);
        }
    }

    /// Lets a peer out whose connection has ended.
    pub fn dismiss(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers();
        if peers.get(peer.id()).is_some_and(|current| Arc::ptr_eq(current, peer)) {
            peers.remove(peer.id());
            Self::tell_of_departure(&peers, peer);
        }
    }

    /// Makes a peer visible: `answer` gets those who are here already, then they are told, and the peer consumes what
    /// they produce.
    pub fn join(&self, peer: &Arc<Peer>, answer: impl FnOnce(Value)) {
        let peers = self.peers();
        let others: Vec<_> = peers.values().filter(|other| !Arc::ptr_eq(other, peer)).collect();
        let described: Vec<_> = others.iter().filter_map(|other| other.describe()).collect();
        answer(json!({ "peers": described }));
        if let Some(description) = peer.describe() {
            for other in others.iter().filter(|other| other.has_joined()) {
                other.connection().notify("newPeer", description.clone());
            }
        }
        for other in others {
            for published in other.producers() {
                peer.consume(published);
            }
        }
    }

    /// Lets all others consume what `peer` has begun to produce. Returns whether the peer is still here.
    #[must_use]
    pub fn publish(&self, peer: &Arc<Peer>, published: &Arc<Published>) -> bool {
        let peers = self.peers();
        if !peers.get(peer.id()).is_some_and(|current| Arc::ptr_eq(current, peer)) {
            return false;
        }
        peer.keep_producer(Arc::clone(published));
        for other in peers.values().filter(|other| !Arc::ptr_eq(other, peer) && other.has_joined()) {
            other.consume(Arc::clone(published));
        }
        true
    }

    /// Tells everybody who has joined, but for one.
    pub fn tell_others(&self, peer: &Arc<Peer>, method: &str, data: &Value) {
        for other in self.peers().values().filter(|other| !Arc::ptr_eq(other, peer) && other.has_joined()) {
            other.connection().notify(method, data.clone());
        }
    }

    /// Tells everybody that the worker has died, and makes them come back.
    pub fn tell_of_death(&self) {
        for peer in self.peers().values() {
            self.tell_one_of_death(peer);
        }
    }

    /// The ways to all who are connected.
    pub fn connections(&self) -> Vec<Connection> {
        self.peers().values().map(|peer| peer.connection().clone()).collect()
    }

    /// Gives the router back.
    pub async fn close(&self) {
        if let Err(error) = self.router.close().await {
            debug!("router of room {:?}: {error}", self.id);
        }
    }

    fn tell_one_of_death(&self, peer: &Peer) {
        peer.connection().notify("workerDied", json!({ "roomId": self.id }));
        peer.connection().close(CloseReason::Restart);
    }

    fn tell_of_departure(peers: &HashMap<String, Arc<Peer>>, peer: &Arc<Peer>) {
        if peer.depart() {
            for other in peers.values().filter(|other| !Arc::ptr_eq(other, peer) && other.has_joined()) {
                other.connection().notify("peerClosed", json!({ "peerId": peer.id() }));
            }
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<String, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
