//! One heap of deadlines, keyed.
//!
//! Most deadlines are pushed out again long before they fall due (a consent timeout moves with every check that
//! arrives). So [`TimerQueue::set`] to a later time touches only a map; the heap entry stays where it was and is put
//! right when it surfaces. Cancelling leaves its entry too. Both kinds of left-over are swept once they outnumber the live ones.

use rustc_hash::FxHashMap;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::Instant;

/// Deadlines by key: at most one a key.
///
/// Keys are hashed without a secret: use indices and enums of one's own, not bytes that a peer chooses.
#[derive(Debug, Clone)]
pub struct TimerQueue<K> {
    timers: FxHashMap<K, Timer>,
    heap: BinaryHeap<Reverse<Queued<K>>>,
    /// Whether the top of the heap is known to be true, so that nothing has to be looked up to tell that nothing is due.
    is_settled: bool,
    next_serial: u64,
}

/// What is true of a key.
#[derive(Debug, Clone, Copy)]
struct Timer {
    deadline: Instant,
    /// The serial of the one heap entry that stands for this timer, due at `deadline` or before it.
    serial: u64,
    /// When that entry is due.
    queued_at: Instant,
}

/// A heap entry. Equal deadlines come in the order in which they were set.
#[derive(Debug, Clone, Copy)]
struct Queued<K> {
    at: Instant,
    serial: u64,
    key: K,
}

impl<K: Copy + Eq + Hash> TimerQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { timers: FxHashMap::default(), heap: BinaryHeap::new(), is_settled: false, next_serial: 0 }
    }

    /// Sets a key's deadline in place of the one it may have had.
    pub fn set(&mut self, key: K, deadline: Instant) {
        let serial = self.next_serial;
        let timer = Timer { deadline, serial, queued_at: deadline };
        self.unsettle(key);
        match self.timers.entry(key) {
            Entry::Occupied(mut entry) if entry.get().queued_at <= deadline => {
                entry.get_mut().deadline = deadline;
                return;
            }
            Entry::Occupied(mut entry) => *entry.get_mut() = timer,
            Entry::Vacant(entry) => {
                entry.insert(timer);
            }
        }
        self.push(key, deadline);
        self.sweep();
    }

    /// Forgets a key's deadline. Returns whether it had one.
    pub fn cancel(&mut self, key: K) -> bool {
        let known = self.timers.remove(&key).is_some();
        self.unsettle(key);
        self.sweep();
        known
    }

    /// A key's deadline, if it has one.
    #[must_use]
    pub fn deadline(&self, key: K) -> Option<Instant> {
        self.timers.get(&key).map(|timer| timer.deadline)
    }

    /// The earliest deadline of all.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.settle_top().map(|top| top.at)
    }

    /// Takes out the earliest deadline that is at or before `now`. Call it until it returns `None`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<K> {
        let top = self.settle_top()?;
        if top.at > now {
            return None;
        }
        self.heap.pop();
        self.is_settled = false;
        self.timers.remove(&top.key);
        Some(top.key)
    }

    /// How many keys have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no key has a deadline.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Heap entries in use, left-overs included: at most twice [`TimerQueue::len`] and 64.
    #[must_use]
    pub fn queued_entries(&self) -> usize {
        self.heap.len()
    }

    /// Drops or moves stale entries until the top of the heap is true.
    fn settle_top(&mut self) -> Option<Queued<K>> {
        loop {
            let Reverse(top) = *self.heap.peek()?;
            if self.is_settled {
                return Some(top);
            }
            match self.timers.get(&top.key) {
                Some(timer) if timer.serial == top.serial => {
                    if timer.deadline == top.at {
                        self.is_settled = true;
                        return Some(top);
                    }
                    let deadline = timer.deadline;
                    self.heap.pop();
                    let serial = self.push(top.key, deadline);
                    if let Some(timer) = self.timers.get_mut(&top.key) {
                        timer.serial = serial;
                        timer.queued_at = deadline;
                    }
                }
                _ => {
                    self.heap.pop();
                }
            }
        }
    }

    /// A key's deadline changes: if the top of the heap stands for it, that is no longer known to be true.
    fn unsettle(&mut self, key: K) {
        self.is_settled &= self.heap.peek().is_none_or(|Reverse(top)| top.key != key);
    }

    fn push(&mut self, key: K, at: Instant) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.heap.push(Reverse(Queued { at, serial, key }));
        serial
    }

    /// Keeps the heap within twice the live timers, and a few.
    fn sweep(&mut self) {
        const SLACK: usize = 64;
        if self.heap.len() > 2 * self.timers.len() + SLACK {
            let timers = &self.timers;
            self.is_settled = false;
            self.heap
                .retain(|Reverse(queued)| timers.get(&queued.key).is_some_and(|timer| timer.serial == queued.serial));
        }
    }
}

impl<K: Copy + Eq + Hash> Default for TimerQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Ord for Queued<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl<K> PartialOrd for Queued<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Queued<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K> Eq for Queued<K> {}
