//! What we say by RTCP every so often: reports about what is sent and received, and feedback for the sender's bandwidth
//! estimation.

use std::time::{Duration, Instant};

use sfu_channel::MediaKind;
use sfu_channel::notification::Event;
use sfu_proto::rtcp::{
    Compound, DlrrItem, Full, ReportBlock, to_compact, write_dlrr, write_receiver_report, write_rrtr, write_sdes_cname,
    write_sender_report,
};

use super::rtcp::SENDER_SSRC;
use crate::worker::{TimerKey, Worker};

/// The longest compound packet, in bytes.
pub(super) const MAX_COMPOUND: usize = 1200;
const AUDIO_INTERVAL: Duration = Duration::from_millis(5000);
const VIDEO_INTERVAL: Duration = Duration::from_millis(1000);

impl Worker {
    /// Sets when a transport's next reports are due, while it is connected. The interval varies by half, so that many
    /// transports don't report in step (RFC 3550, 6.3).
    pub fn schedule_reports(&mut self, now: Instant, transport: usize) {
        if self.transports[transport].connected {
            let jitter = Duration::from_millis(u64::from(self.random.next_u32() % 500));
            self.timers.set(TimerKey::Reports(transport), now + VIDEO_INTERVAL + jitter);
        } else {
            self.timers.cancel(TimerKey::Reports(transport));
        }
    }

    /// Sends the reports that are due on a transport.
    pub fn send_reports(&mut self, now: Instant, transport: usize) {
        self.schedule_reports(now, transport);
        self.log_drops(transport);
        self.review_layers(now, transport);
        let ntp = self.clock.ntp(now);
        let mut compound = std::mem::replace(&mut self.media.reports, Compound::new(MAX_COMPOUND));
        for position in 0..self.transports[transport].consumers.len() {
            let consumer = self.transports[transport].consumers[position];
            if !is_due(now, self.consumers[consumer].last_report, self.consumers[consumer].kind) {
                continue;
            }
            for stream in 0..=self.consumers[consumer].further.len() as u8 {
                if self.push_sender_report(now, consumer, stream, &mut compound).is_err() {
                    self.send_compound(now, transport, &mut compound);
                    // One report fits by itself, whatever the CNAME: SDES cuts it at 255 bytes.
                    let _ = self.push_sender_report(now, consumer, stream, &mut compound);
                }
            }
        }
        let blocks = self.report_blocks(now, transport);
        for blocks in blocks.chunks(31) {
            let write = |out: &mut Vec<u8>| {
                write_receiver_report(out, SENDER_SSRC, blocks);
                write_rrtr(out, SENDER_SSRC, ntp);
            };
            if compound.push(write).is_err() {
                self.send_compound(now, transport, &mut compound);
                // 31 blocks and a reference time are 780 bytes.
                let _ = compound.push(write);
            }
        }
        self.send_compound(now, transport, &mut compound);
        self.media.reports = compound;
    }

    /// Tells in the log, once an interval, that packets could not be sent.
    fn log_drops(&mut self, transport: usize) {
        let transport = &mut self.transports[transport];
        let dropped = std::mem::take(&mut transport.dropped);
        if dropped > 0 {
            crate::warn!(Rtp, "{dropped} packets dropped, the socket took no more [transport:{}]", transport.id);
        }
    }

    fn send_compound(&mut self, now: Instant, transport: usize, compound: &mut Compound) {
        self.send_rtcp(now, transport, |out| out.extend_from_slice(compound.bytes()));
        compound.clear();
    }

    /// Adds the report of a consumer's stream, if something has been sent.
    fn push_sender_report(
        &mut self,
        now: Instant,
        consumer: usize,
        stream: u8,
        compound: &mut Compound,
    ) -> Result<(), Full> {
        let consumer = &mut self.consumers[consumer];
        let Some(stream) = consumer.stream_mut(stream) else { return Ok(()) };
        let Some(info) = stream.sent.sender_info(now, self.clock.ntp(now)) else { return Ok(()) };
        // RFC 3611, 4.5: the item names the receiver, which knows by it that it is meant.
        let dlrr = stream.reference_time.map(|time| DlrrItem {
            ssrc: time.ssrc,
            last_receiver_report: time.compact,
            delay: to_compact(now.saturating_duration_since(time.at)),
        });
        consumer.last_report = Some(now);
        compound.push(|out| {
            write_sender_report(out, &info, &[]);
            write_sdes_cname(out, info.ssrc, consumer.parameters.cname());
            write_dlrr(out, info.ssrc, dlrr.as_slice());
        })
    }

    /// The report blocks about the streams of all producers whose reports are due; their scores follow from them.
    fn report_blocks(&mut self, now: Instant, transport: usize) -> Vec<ReportBlock> {
        let mut blocks = Vec::new();
        for position in 0..self.transports[transport].producers.len() {
            let index = self.transports[transport].producers[position];
            let producer = &mut self.producers[index];
            if !is_due(now, producer.last_report, producer.kind) {
                continue;
            }
            producer.last_report = Some(now);
            let mut scored = false;
            for (position, stream) in producer.streams.iter_mut().enumerate() {
                if stream.uses_in_band_fec() {
                    for consumer in &producer.consumers {
                        let consumer = &mut self.consumers[*consumer];
                        if consumer.is_active()
                            && let Some(sent) = consumer.stream_for(position)
                            && let Some(sent) = consumer.stream_mut(sent)
                        {
                            stream.received.handle_remote_loss(sent.sent.stats().fraction_lost);
                        }
                    }
                }
                blocks.extend(stream.received.report_block(now));
                blocks.extend(stream.rtx_received().and_then(|received| received.report_block(now)));
                let active = stream.inactivity.as_ref().is_none_or(|inactivity| inactivity.is_active());
                scored |= active && stream.score.update(stream.received.totals()).is_some();
            }
            if scored {
                self.announce_scores(index);
                self.update_consumers_layers(now, index);
            }
        }
        blocks
    }

    /// Tells the score of one consumer.
    pub(super) fn announce_consumer_score(&mut self, index: usize) {
        let consumer = &self.consumers[index];
        let score = consumer.score(&self.producers[consumer.producer]);
        self.output.notify(&consumer.id, Event::ConsumerScore(score));
    }

    /// Sets when a transport's feedback for bandwidth estimation is due, if it gives any and is connected.
    pub fn schedule_feedback(&mut self, now: Instant, transport: usize) {
        let entity = &self.transports[transport];
        match &entity.congestion_feedback {
            Some(feedback) if entity.connected => {
                self.timers.set(TimerKey::Feedback(transport), feedback.next_poll(now));
            }
            _ => {
                self.timers.cancel(TimerKey::Feedback(transport));
            }
        }
    }

    /// Sends a transport's feedback for bandwidth estimation.
    pub fn send_feedback(&mut self, now: Instant, transport: usize) {
        self.schedule_feedback(now, transport);
        let entity = &mut self.transports[transport];
        let Some(mut feedback) = entity.congestion_feedback.take() else { return };
        let max_bitrate = entity.max_incoming_bitrate;
        let producers = entity.producers.iter().filter_map(|producer| self.producers.get(*producer));
        let ssrcs: Vec<u32> = match max_bitrate {
            0 if !feedback.estimates() => Vec::new(),
            _ => producers.flat_map(|producer| producer.streams.iter().map(|stream| stream.ssrc())).collect(),
        };
        let mut more = true;
        while std::mem::take(&mut more) {
            self.send_rtcp(now, transport, |out| more = feedback.poll_arrivals(out));
        }
        self.send_rtcp(now, transport, |out| feedback.poll_limit(now, max_bitrate, &ssrcs, out));
        self.transports[transport].congestion_feedback = Some(feedback);
    }
}

/// Whether a report is due: a little early counts, because the timer that asks varies.
fn is_due(now: Instant, last: Option<Instant>, kind: MediaKind) -> bool {
    let interval = match kind {
        MediaKind::Audio => AUDIO_INTERVAL,
        MediaKind::Video => VIDEO_INTERVAL,
    };
    last.is_none_or(|last| now.saturating_duration_since(last).mul_f32(1.15) >= interval)
}
