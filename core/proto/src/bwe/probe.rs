//! Probing: short clusters of packets at a higher bitrate than the estimate, and what their arrival says about the path.
//!
//! A cluster begins with the next packet of media, so that a frame's burst is part of it, and padding makes up what is
//! missing to its bitrate. Nothing of the media is held back for it.

/// The longest and shortest packet of padding, in bytes: one that passes everywhere, and what libwebrtc's receivers take
/// for a probe at least.
const MAX_PADDING: usize = 1200;
const MIN_PADDING: usize = 200;
/// Packets of a cluster, at least (libwebrtc).
const MIN_PACKETS: u32 = 5;
/// How long a cluster waits for media to begin with, in microseconds: a frame of 25 a second.
const WAIT_FOR_MEDIA: i64 = 40_000;
/// How long its result is awaited, in microseconds (libwebrtc).
const MAX_WAIT: i64 = 1_000_000;
/// Of a cluster's packets must have arrived (libwebrtc).
const MIN_ARRIVED: f64 = 0.8;
/// Arrival at less than this share of the rate of sending means that the path was full (cases; jitter alone takes a tenth).
const FULL: f64 = 0.85;
/// Clusters whose results are awaited at a time: the first two follow each other, later ones come alone.
const MAX_AWAITED: usize = 2;

/// Why a cluster is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find the capacity at first.
    Start,
    /// To see whether a capacity that was lost is back.
    Recovery,
    /// To learn of capacity that the media do not use.
    Unused,
    /// To see whether there is more than the media use already.
    Growth,
}

impl Purpose {
    /// Length of a cluster, in microseconds. One beside full media must be long enough to tell a frame's burst from a
    /// path that is full.
    fn duration(self) -> f64 {
        match self {
            Purpose::Start | Purpose::Recovery => 40_000.0,
            Purpose::Unused | Purpose::Growth => 60_000.0,
        }
    }
}

/// What a cluster has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProbeResult {
    pub purpose: Purpose,
    /// The bitrate that was tried, in bit/s.
    pub tried: f64,
    /// The bitrate that got through, at most that tried, in bit/s; `None` if too much was lost.
    pub bitrate: Option<f64>,
    /// Whether the path was full.
    pub full: bool,
}

#[derive(Clone, Debug)]
struct Cluster {
    id: u16,
    purpose: Purpose,
    bitrate: f64,
    created: i64,
    /// When its first packet was sent.
    started: Option<i64>,
    sent: u32,
    sent_bytes: u64,
    arrived: u32,
    missing: u32,
    arrived_bytes: u64,
    /// Of those that arrived: first and last, sent and arrived.
    send: (i64, i64),
    arrival: (i64, i64),
    /// Bytes sent at the last time, and arrived at the first.
    last_sent_bytes: u64,
    first_arrived_bytes: u64,
}

/// Sends clusters and measures their arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Prober {
    last_id: u16,
    active: Option<Cluster>,
    awaited: [Option<Cluster>; MAX_AWAITED],
    /// What is to be sent after the active cluster.
    next: Option<(Purpose, f64)>,
}

impl Prober {
    /// Whether no cluster is being sent, and no result awaited.
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.next.is_none() && self.awaited.iter().all(Option::is_none)
    }

    /// Begins a cluster of `bitrate` (bit/s), or lets it follow the one that is being sent.
    pub fn start(&mut self, now: i64, purpose: Purpose, bitrate: f64) {
        if self.active.is_some() {
            self.next = Some((purpose, bitrate));
            return;
        }
        self.last_id = self.last_id.wrapping_add(1);
        self.active = Some(Cluster {
            id: self.last_id,
            purpose,
            bitrate,
            created: now,
            started: None,
            sent: 0,
            sent_bytes: 0,
            arrived: 0,
            missing: 0,
            arrived_bytes: 0,
            send: (0, 0),
            arrival: (0, 0),
            last_sent_bytes: 0,
            first_arrived_bytes: 0,
        });
    }

    /// Stops sending. Results of what was sent are not awaited either.
    pub fn stop(&mut self) {
        *self = Prober { last_id: self.last_id, ..Prober::default() };
    }

    /// A packet is sent, be it media or padding. Returns the cluster that it is part of.
    pub fn handle_sent(&mut self, now: i64, size: usize) -> Option<u16> {
        let cluster = self.active.as_mut()?;
        cluster.started.get_or_insert(now);
        cluster.sent += 1;
        cluster.sent_bytes += size as u64;
        let id = cluster.id;
        if cluster.is_complete() {
            let complete = self.active.take();
            if let Some(slot) = self.awaited.iter_mut().find(|slot| slot.is_none()) {
                *slot = complete;
            }
            if let Some((purpose, bitrate)) = self.next.take() {
                self.start(now, purpose, bitrate);
            }
        }
        Some(id)
    }

    /// A packet of a cluster has arrived (`Some` time of arrival) or is missing.
    pub fn handle_report(&mut self, id: u16, sent: i64, size: u32, arrival: Option<i64>) {
        let clusters = self.active.iter_mut().chain(self.awaited.iter_mut().flatten());
        for cluster in clusters.filter(|cluster| cluster.id == id) {
            cluster.handle_report(sent, size, arrival);
        }
    }

    /// The result of a cluster, if one is known or overdue. Call it until it returns `None`.
    pub fn poll_result(&mut self, now: i64) -> Option<ProbeResult> {
        let known = |cluster: &Cluster| {
            cluster.arrived + cluster.missing >= cluster.sent || now - cluster.created > MAX_WAIT + WAIT_FOR_MEDIA
        };
        let slot = self.awaited.iter_mut().find(|slot| slot.as_ref().is_some_and(known))?;
        slot.take().map(|cluster| cluster.result())
    }

    /// When a packet of padding is due, in microseconds.
    pub fn due(&self) -> Option<i64> {
        self.active.as_ref().map(Cluster::due)
    }

    /// The size in bytes of the packet of padding that is due, if one is.
    pub fn poll_padding(&self, now: i64) -> Option<usize> {
        let cluster = self.active.as_ref().filter(|cluster| cluster.due() <= now)?;
        let share = cluster.goal_bytes() / f64::from(MIN_PACKETS);
        Some((share as usize).clamp(MIN_PADDING, MAX_PADDING))
    }
}

impl Cluster {
    fn goal_bytes(&self) -> f64 {
        self.bitrate * self.purpose.duration() / 8e6
    }

    fn is_complete(&self) -> bool {
        self.sent >= MIN_PACKETS && self.sent_bytes as f64 >= self.goal_bytes()
    }

    fn due(&self) -> i64 {
        match self.started {
            Some(started) => started + (self.sent_bytes as f64 * 8e6 / self.bitrate) as i64,
            None => self.created + WAIT_FOR_MEDIA,
        }
    }

    fn handle_report(&mut self, sent: i64, size: u32, arrival: Option<i64>) {
        let Some(arrival) = arrival else {
            self.missing += 1;
            return;
        };
        let size = u64::from(size);
        if self.arrived == 0 {
            (self.send, self.arrival) = ((sent, sent), (arrival, arrival));
        }
        self.arrived += 1;
        self.arrived_bytes += size;
        if sent > self.send.1 {
            self.last_sent_bytes = 0;
        }
        self.send = (self.send.0.min(sent), self.send.1.max(sent));
        if sent == self.send.1 {
            self.last_sent_bytes += size;
        }
        if arrival < self.arrival.0 {
            self.first_arrived_bytes = 0;
        }
        self.arrival = (self.arrival.0.min(arrival), self.arrival.1.max(arrival));
        if arrival == self.arrival.0 {
            self.first_arrived_bytes += size;
        }
    }

    fn result(&self) -> ProbeResult {
        let rate = |bytes: u64, (from, to): (i64, i64)| {
            // What takes no measurable time says only that it is fast.
            if to - from < 1_000 { f64::INFINITY } else { bytes as f64 * 8e6 / (to - from) as f64 }
        };
        let sent = rate(self.arrived_bytes - self.last_sent_bytes, self.send);
        let arrived = rate(self.arrived_bytes - self.first_arrived_bytes, self.arrival);
        let enough = f64::from(self.arrived) >= MIN_ARRIVED * f64::from(self.sent);
        let reached = sent.min(arrived).min(self.bitrate);
        ProbeResult {
            purpose: self.purpose,
            tried: self.bitrate,
            bitrate: enough.then_some(reached),
            full: arrived < FULL * sent.min(self.bitrate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a cluster over a link of `capacity` bit/s, after `frame` packets of media at once.
    fn probe(purpose: Purpose, bitrate: f64, capacity: f64, frame: usize) -> ProbeResult {
        let mut prober = Prober::default();
        prober.start(0, purpose, bitrate);
        let (mut now, mut link_free) = (0, 0);
        let mut send = |prober: &mut Prober, now: i64, size: usize| {
            link_free = link_free.max(now) + (size as f64 * 8e6 / capacity) as i64;
            let id = prober.handle_sent(now, size);
            if let Some(id) = id {
                prober.handle_report(id, now, size as u32, Some(link_free + 20_000));
            }
        };
        for _ in 0..frame {
            send(&mut prober, now, 1200);
        }
        while let Some(due) = prober.due() {
            now = now.max(due);
            let size = prober.poll_padding(now).expect("it is due");
            send(&mut prober, now, size);
        }
        prober.poll_result(now + 1).expect("all was reported")
    }

    #[test]
    fn what_the_link_takes_comes_through_and_more_shows_that_it_is_full() {
        let result = probe(Purpose::Growth, 1.5e6, 3e6, 4);
        assert!(!result.full && result.bitrate.is_some_and(|bitrate| (1.4e6..=1.5e6).contains(&bitrate)), "{result:?}");
        let result = probe(Purpose::Growth, 1.5e6, 1e6, 4);
        assert!(result.full && result.bitrate.is_some_and(|bitrate| (0.9e6..1.1e6).contains(&bitrate)), "{result:?}");
        let result = probe(Purpose::Start, 6e6, 4e6, 0);
        assert!(result.full && result.bitrate.is_some_and(|bitrate| (3.8e6..4.2e6).contains(&bitrate)), "{result:?}");
    }

    #[test]
    fn lost_packets_and_silence_end_a_cluster_without_a_bitrate() {
        let mut prober = Prober::default();
        prober.start(0, Purpose::Start, 1e6);
        for step in 0..5 {
            let id = prober.handle_sent(step * 5_000, 1000).expect("part of it");
            prober.handle_report(id, step * 5_000, 1000, (step < 3).then_some(step * 5_000));
        }
        assert!(prober.poll_result(30_000).is_some_and(|result| result.bitrate.is_none()));
        assert!(prober.is_idle());
        prober.start(0, Purpose::Start, 1e6);
        (0..5).for_each(|step| assert!(prober.handle_sent(step * 5_000, 1000).is_some()));
        assert_eq!(prober.handle_sent(30_000, 1000), None, "it is complete");
        assert_eq!(prober.poll_result(500_000), None);
        assert!(prober.poll_result(1_100_000).is_some_and(|result| result.bitrate.is_none()));
    }

    #[test]
    fn clusters_follow_each_other() {
        let mut prober = Prober::default();
        prober.start(0, Purpose::Start, 1e6);
        prober.start(0, Purpose::Start, 2e6);
        let first = prober.handle_sent(0, 3000);
        (0..4).for_each(|_| assert_eq!(prober.handle_sent(0, 3000), first));
        assert_eq!(prober.handle_sent(0, 3000), Some(2));
    }
}
