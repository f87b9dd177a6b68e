//! A router: the set of transports whose producers and consumers may be connected.

/// One router. What it routes is in the producers' lists of consumers.
#[derive(Debug)]
pub struct Router {
    /// Its id.
    pub id: String,
    /// Its transports.
    pub transports: Vec<usize>,
    /// Its RTP observers.
    pub rtp_observers: Vec<usize>,
}

impl Router {
    /// A router without transports.
    pub fn new(id: String) -> Router {
        Router { id, transports: Vec::new(), rtp_observers: Vec::new() }
    }
}
