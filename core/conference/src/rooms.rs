//! All rooms: opened by the first who enters, closed behind the last who leaves.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tracing::{info, warn};

use crate::{
    addresses::MediaAddress,
    protoo::CloseReason,
    room::Room,
    workers::{Workers, WorkersError},
};

/// The rooms of this server, by id.
#[derive(Debug)]
pub struct Rooms {
    workers: Arc<Workers>,
    addresses: Vec<MediaAddress>,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

/// A room that exists while someone is in it or on the way in.
#[derive(Debug, Default)]
struct Entry {
    /// Set by the first who enters; others wait for it.
    room: OnceCell<Arc<Room>>,
    /// Changed only while `Rooms::entries` is locked.
    occupants: AtomicUsize,
}

impl Rooms {
    /// No rooms yet. They will be placed on `workers`; media arrives at `addresses`.
    #[must_use]
    pub fn new(workers: Arc<Workers>, addresses: Vec<MediaAddress>) -> Arc<Self> {
        Arc::new(Self { workers, addresses, entries: Mutex::default() })
    }

    /// Enters the room, which is opened on the least loaded worker if need be, and lives at least as long as the
    /// lease. Whoever opens it decides on its [`consumer_replicas`](Room::consumer_replicas).
    ///
    /// # Errors
    ///
    /// [`WorkersError`] when no worker can take the room.
    pub async fn enter(self: &Arc<Self>, id: &str, consumer_replicas: usize) -> Result<Lease, WorkersError> {
        let entry = {
            let mut entries = self.entries();
            let entry = Arc::clone(entries.entry(id.to_owned()).or_default());
            entry.occupants.fetch_add(1, Ordering::Relaxed);
            entry
        };
        // From here on, whatever happens, the lease counts us out again.
        let pending = Pending { rooms: Arc::clone(self), id: id.to_owned(), entry: Arc::clone(&entry) };
        let open = || self.open(id, consumer_replicas, Arc::downgrade(&entry));
        let room = entry.room.get_or_try_init(open).await?;
        Ok(Lease { room: Arc::clone(room), _occupant: pending })
    }

    /// Tells everybody that the server stops, and returns when their connections are closed.
    pub async fn shut_down(&self) {
        let entries: Vec<_> = self.entries().drain().map(|(_, entry)| entry).collect();
        let rooms = entries.iter().filter_map(|entry| entry.room.get());
        let connections: Vec<_> = rooms.flat_map(|room| room.connections()).collect();
        for connection in &connections {
            connection.close(CloseReason::Shutdown);
        }
        join_all(connections.iter().map(|connection| connection.closed())).await;
    }

    /// How many rooms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn open(
        self: &Arc<Self>,
        id: &str,
        consumer_replicas: usize,
        entry: Weak<Entry>,
    ) -> Result<Arc<Room>, WorkersError> {
        let (router, place) = self.workers.create_router().await?;
        let worker = place.worker_pid();
        info!("room {id:?} opens on worker {worker}");
        let room = Room::new(id.to_owned(), router, place, self.addresses.clone(), consumer_replicas);
        let rooms = Arc::downgrade(self);
        let (watched, id) = (Arc::downgrade(&room), id.to_owned());
        let died = room.died();
        tokio::spawn(async move {
            died.await;
            // Whoever enters from now on opens the room anew, elsewhere.
            if let Some(rooms) = rooms.upgrade() {
                rooms.forget(&id, &entry);
            }
            if let Some(room) = watched.upgrade() {
                warn!("room {id:?} has lost its worker {worker} and moves");
                room.tell_of_death();
            }
        });
        Ok(room)
    }

    /// Takes the entry out, unless another has its place already.
    fn forget(&self, id: &str, entry: &Weak<Entry>) {
        let mut entries = self.entries();
        if entries.get(id).is_some_and(|current| std::ptr::eq(Arc::as_ptr(current), entry.as_ptr())) {
            entries.remove(id);
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a room. The room closes when the last one is dropped.
#[derive(Debug)]
pub struct Lease {
    room: Arc<Room>,
    _occupant: Pending,
}

impl Lease {
    /// The room.
    #[must_use]
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }
}

/// Someone who is counted among the occupants.
#[derive(Debug)]
struct Pending {
    rooms: Arc<Rooms>,
    id: String,
    entry: Arc<Entry>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut entries = self.rooms.entries();
        if self.entry.occupants.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        if entries.get(&self.id).is_some_and(|current| Arc::ptr_eq(current, &self.entry)) {
            entries.remove(&self.id);
        }
        drop(entries);
        if let Some(room) = self.entry.room.get().cloned() {
            info!("room {:?} closes", self.id);
            tokio::spawn(async move { room.close().await });
        }
    }
}
