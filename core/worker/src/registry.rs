//! From the ids in requests to the entities: strings are looked up here once a request, and nowhere on the media path.

use rustc_hash::FxHashMap;

use sfu_channel::response::Refusal;

/// An entity, by its index in the slab of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKey {
    /// A WebRTC server.
    WebRtcServer(usize),
    /// A router.
    Router(usize),
    /// A transport.
    Transport(usize),
    /// A producer.
    Producer(usize),
    /// A consumer.
    Consumer(usize),
    /// A data producer.
    DataProducer(usize),
    /// A data consumer.
    DataConsumer(usize),
    /// An RTP observer.
    RtpObserver(usize),
}

/// All ids in use. They share one name space, whatever the kind.
#[derive(Debug, Default)]
pub struct Registry {
    entities: FxHashMap<String, EntityKey>,
}

impl Registry {
    /// Whether the id may be given to a new entity.
    ///
    /// # Errors
    /// An `Error` if it is in use.
    pub fn check_free(&self, id: &str) -> Result<(), Refusal> {
        if self.entities.contains_key(id) {
            return Err(Refusal::error(format!("an entity with ID {id} already exists")));
        }
        Ok(())
    }

    /// Enters an entity.
    pub fn insert(&mut self, id: &str, key: EntityKey) {
        self.entities.insert(id.to_owned(), key);
    }

    /// Forgets an entity.
    pub fn remove(&mut self, id: &str) {
        self.entities.remove(id);
    }

    /// The entity with that id.
    pub fn get(&self, id: &str) -> Option<EntityKey> {
        self.entities.get(id).copied()
    }
}
