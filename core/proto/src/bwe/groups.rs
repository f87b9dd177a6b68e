//! Packets in groups that were sent as a burst (draft-ietf-rmcat-gcc-02 section 5.2), and the deltas between groups.
//!
//! A frame of video leaves as a burst, and its packets queue behind each other at the bottleneck: between two of them
//! the delay says more about the burst than about congestion. So the delay is compared between whole bursts.

/// Packets sent within this of a group's first belong to it, in microseconds (draft, burst_time).
const BURST: i64 = 5_000;
/// How long a group may go on by packets that arrive in a bunch, in microseconds (libwebrtc).
const MAX_BUNCH: i64 = 100_000;
/// An arrival this far from what the send times say is another clock, in microseconds (libwebrtc).
const CLOCK_JUMP: i64 = 3_000_000;

/// How one group differs from the one before, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupDelta {
    /// Between the sending of their last packets.
    pub send: i64,
    /// Between the arrival of their last packets.
    pub arrival: i64,
    /// When the newer group was complete, by the receiver's clock.
    pub arrived_at: i64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_send: i64,
    last_send: i64,
    first_arrival: i64,
    last_arrival: i64,
}

/// Puts packets into groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    previous: Option<Group>,
    current: Option<Group>,
}

impl Groups {
    /// A packet arrived; times in microseconds, each by its own clock. Returns the delta of the group that it completes,
    /// if it completes one and there is one before it. Packets sent before the current group are ignored.
    pub fn handle_packet(&mut self, send: i64, arrival: i64) -> Option<GroupDelta> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::new(send, arrival));
            return None;
        };
        let drift = (arrival - current.last_arrival) - (send - current.last_send);
        if drift.abs() > CLOCK_JUMP {
            *self = Groups { previous: None, current: Some(Group::new(send, arrival)) };
            return None;
        }
        if send < current.first_send {
            return None;
        }
        if current.takes(send, arrival) {
            current.last_send = current.last_send.max(send);
            current.last_arrival = current.last_arrival.max(arrival);
            return None;
        }
        let complete = std::mem::replace(current, Group::new(send, arrival));
        let previous = self.previous.replace(complete)?;
        Some(GroupDelta {
            send: complete.last_send - previous.last_send,
            arrival: complete.last_arrival - previous.last_arrival,
            arrived_at: complete.last_arrival,
        })
    }
}

impl Group {
    fn new(send: i64, arrival: i64) -> Group {
        Group { first_send: send, last_send: send, first_arrival: arrival, last_arrival: arrival }
    }

    /// Whether a packet belongs to this group: sent with it, or held up somewhere with it and let go together.
    fn takes(&self, send: i64, arrival: i64) -> bool {
        let between_arrivals = arrival - self.last_arrival;
        let let_go_together = between_arrivals <= BURST
            && between_arrivals < send - self.last_send
            && arrival - self.first_arrival < MAX_BUNCH;
        send - self.first_send <= BURST || let_go_together
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_group_and_deltas_are_between_complete_groups() {
        let mut groups = Groups::default();
        for (send, arrival) in [(0, 50_000), (0, 51_000), (1_000, 52_000)] {
            assert_eq!(groups.handle_packet(send, arrival), None);
        }
        assert_eq!(groups.handle_packet(33_000, 85_000), None, "the first group has none before it");
        assert_eq!(groups.handle_packet(34_000, 89_000), None);
        let delta = groups.handle_packet(66_000, 117_000).expect("two groups are complete");
        assert_eq!(delta, GroupDelta { send: 33_000, arrival: 37_000, arrived_at: 89_000 });
    }

    #[test]
    fn what_was_held_up_together_is_one_group() {
        let mut groups = Groups::default();
        groups.handle_packet(0, 10_000);
        groups.handle_packet(20_000, 30_000);
        // A pause of the link: three packets sent over 40 ms come out within 2 ms.
        for (send, arrival) in [(40_000, 100_000), (60_000, 101_000), (80_000, 102_000)] {
            groups.handle_packet(send, arrival);
        }
        let delta = groups.handle_packet(100_000, 120_000).expect("complete");
        assert_eq!((delta.send, delta.arrival), (60_000, 72_000));
    }

    #[test]
    fn old_packets_are_ignored_and_another_clock_starts_afresh() {
        let mut groups = Groups::default();
        groups.handle_packet(100_000, 0);
        assert_eq!(groups.handle_packet(50_000, 1_000), None);
        groups.handle_packet(120_000, 20_000);
        assert_eq!(groups.handle_packet(140_000, 90_000_000), None);
        assert_eq!(groups.handle_packet(160_000, 90_020_000), None);
        let delta = groups.handle_packet(180_000, 90_040_000).expect("two groups by the new clock");
        assert_eq!((delta.send, delta.arrival), (20_000, 20_000));
    }
}
