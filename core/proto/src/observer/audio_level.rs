//! The loudest streams of each interval.

use std::time::{Duration, Instant};

use slab::Slab;

use crate::rtp::AudioLevel;

/// Packets with a level that a stream must have had in an interval to count. Fewer than these are 200 ms of sound at most,
/// and no mean to go by.
const MIN_SAMPLES: u32 = 10;

/// What is reported, and how often.
#[derive(Debug, Clone, Copy)]
pub struct AudioLevelConfig {
    /// Streams in a report at most.
    pub max_entries: usize,
    /// The lowest mean level that is reported, in dBov: -127 (silence) to 0.
    pub threshold: i8,
    /// Time between two reports.
    pub interval: Duration,
}

/// What an interval came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LevelEvent {
    /// The loudest streams, loudest first: their keys and mean levels in dBov.
    Volumes(Vec<(usize, i8)>),
    /// None was loud enough, as the first time after some were.
    Silence,
}

/// Reports mean levels, interval by interval. Silence is told once.
#[derive(Debug)]
pub struct AudioLevels {
    config: AudioLevelConfig,
    streams: Slab<Levels>,
    silent: bool,
    /// `None` while it is paused.
    deadline: Option<Instant>,
    event: Option<LevelEvent>,
}

/// The levels of one stream in this interval.
#[derive(Debug, Clone, Copy, Default)]
struct Levels {
    /// Of -dBov.
    sum: u32,
    samples: u32,
}

impl AudioLevels {
    /// An observer of no streams, in silence, whose first interval begins now.
    pub fn new(now: Instant, config: AudioLevelConfig) -> AudioLevels {
        AudioLevels { config, streams: Slab::new(), silent: true, deadline: Some(now + config.interval), event: None }
    }

    /// From now on a further stream is observed, by the key that is returned.
    pub fn add(&mut self) -> usize {
        self.streams.insert(Levels::default())
    }

    /// A stream is observed no more.
    pub fn remove(&mut self, key: usize) {
        self.streams.try_remove(key);
    }

    /// A packet with a level has come. Counts nothing while the observer is paused.
    pub fn handle_level(&mut self, key: usize, level: AudioLevel) {
        if self.deadline.is_none() {
            return;
        }
        if let Some(levels) = self.streams.get_mut(key) {
            levels.sum = levels.sum.saturating_add(level.level.into());
            levels.samples = levels.samples.saturating_add(1);
        }
    }

    /// What a stream has had in this interval does not count, as when it is paused.
    pub fn forget_levels(&mut self, key: usize) {
        if let Some(levels) = self.streams.get_mut(key) {
            *levels = Levels::default();
        }
    }

    /// Stops, which is silence.
    pub fn pause(&mut self) {
        self.deadline = None;
        self.take_loudest();
        self.fall_silent();
    }

    /// Goes on, with an interval that begins now.
    pub fn resume(&mut self, now: Instant) {
        self.deadline = Some(now + self.config.interval);
    }

    /// Ends the interval if its end has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline = Some(now + self.config.interval);
        let loudest = self.take_loudest();
        if loudest.is_empty() {
            self.fall_silent();
        } else {
            self.silent = false;
            self.event = Some(LevelEvent::Volumes(loudest));
        }
    }

    /// What the last interval came to, once.
    pub fn poll_event(&mut self) -> Option<LevelEvent> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while it is paused.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn fall_silent(&mut self) {
        if !std::mem::replace(&mut self.silent, true) {
            self.event = Some(LevelEvent::Silence);
        }
    }

    /// The loudest streams of the interval, loudest first; all begin anew.
    fn take_loudest(&mut self) -> Vec<(usize, i8)> {
        let mut loudest: Vec<(usize, i8)> = Vec::new();
        for (key, levels) in &mut self.streams {
            let Levels { sum, samples } = std::mem::take(levels);
            if samples < MIN_SAMPLES {
                continue;
            }
            // To the nearest; at most 127.
            let mean = (sum + samples / 2) / samples;
            let volume = -i8::try_from(mean).unwrap_or(i8::MAX);
            if volume >= self.config.threshold {
                loudest.push((key, volume));
            }
        }
        loudest.sort_by_key(|(key, volume)| (std::cmp::Reverse(*volume), *key));
        loudest.truncate(self.config.max_entries);
        loudest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(800);

    fn observer(start: Instant) -> AudioLevels {
        AudioLevels::new(start, AudioLevelConfig { max_entries: 2, threshold: -70, interval: INTERVAL })
    }

    fn level(level: u8) -> AudioLevel {
        AudioLevel { voice: true, level }
    }

    fn feed(levels: &mut AudioLevels, key: usize, values: impl IntoIterator<Item = u8>) {
        values.into_iter().for_each(|value| levels.handle_level(key, level(value)));
    }

    fn end_interval(levels: &mut AudioLevels) -> Option<LevelEvent> {
        let deadline = levels.poll_timeout().expect("it runs");
        levels.handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(levels.poll_event(), None, "not before the interval has ended");
        levels.handle_timeout(deadline);
        assert_eq!(levels.poll_timeout(), Some(deadline + INTERVAL));
        levels.poll_event()
    }

    #[test]
    fn the_loudest_come_first_and_no_more_than_asked_for() {
        let mut levels = observer(Instant::now());
        let keys = [levels.add(), levels.add(), levels.add(), levels.add()];
        feed(&mut levels, keys[0], [50; 10]);
        feed(&mut levels, keys[1], [20, 41, 20, 41, 20, 41, 20, 41, 20, 41]);
        feed(&mut levels, keys[2], [60; 40]);
        feed(&mut levels, keys[3], [10; 9]);
        assert_eq!(end_interval(&mut levels), Some(LevelEvent::Volumes(vec![(keys[1], -31), (keys[0], -50)])));
    }

    #[test]
    fn the_threshold_itself_is_loud_enough_and_below_it_is_silence() {
        let mut levels = observer(Instant::now());
        let key = levels.add();
        feed(&mut levels, key, [70; 10]);
        assert_eq!(end_interval(&mut levels), Some(LevelEvent::Volumes(vec![(key, -70)])));
        feed(&mut levels, key, [71; 10]);
        assert_eq!(end_interval(&mut levels), Some(LevelEvent::Silence));
        assert_eq!(end_interval(&mut levels), None, "told once");
    }

    #[test]
    fn the_first_silence_is_no_news() {
        let mut levels = observer(Instant::now());
        levels.add();
        assert_eq!(end_interval(&mut levels), None);
    }

    #[test]
    fn pausing_is_silence_and_counts_nothing() {
        let start = Instant::now();
        let mut levels = observer(start);
        let key = levels.add();
        feed(&mut levels, key, [30; 10]);
        end_interval(&mut levels);
        feed(&mut levels, key, [30; 10]);
        levels.pause();
        assert_eq!((levels.poll_event(), levels.poll_timeout()), (Some(LevelEvent::Silence), None));
        feed(&mut levels, key, [30; 10]);
        levels.handle_timeout(start + 10 * INTERVAL);
        assert_eq!(levels.poll_event(), None);
        levels.resume(start + 20 * INTERVAL);
        assert_eq!(levels.poll_timeout(), Some(start + 21 * INTERVAL));
        assert_eq!(end_interval(&mut levels), None, "what came before and during the pause is forgotten");
    }

    #[test]
    fn streams_that_are_removed_or_paused_are_not_reported() {
        let mut levels = observer(Instant::now());
        let keys = [levels.add(), levels.add(), levels.add()];
        for key in keys {
            feed(&mut levels, key, [30; 10]);
        }
        levels.remove(keys[0]);
        levels.forget_levels(keys[1]);
        feed(&mut levels, keys[0], [30; 10]);
        assert_eq!(end_interval(&mut levels), Some(LevelEvent::Volumes(vec![(keys[2], -30)])));
    }
}
