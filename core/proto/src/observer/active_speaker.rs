//! Dominant-speaker identification, after I. Volfin and I. Cohen, "Dominant speaker identification for multipoint
//! videoconferencing" (Computer Speech and Language 27, 2013).
//!
//! The loudest is not the one who speaks: a door is louder. So activity is looked at over three times at once, each made of
//! the one before:
//!
//! | time | made of | what counts |
//! |---|---|---|
//! | immediate, 20 ms | a level | how many of 13 bands it reaches |
//! | medium, 100 ms | 5 immediate ones | those that reach more than 7 bands |
//! | long, 1 s | 10 medium ones | those with more than 4 immediate ones |
//!
//! For each time the score is how much likelier the count is of a speaker than of someone silent. Another becomes dominant
//! when it beats the dominant one clearly in the immediate and in the medium time and is no worse in the long one: speech
//! begins suddenly, and goes on.

use std::time::{Duration, Instant};

use slab::Slab;

use crate::rtp::AudioLevel;

/// The time that a level stands for.
const SAMPLE: Duration = Duration::from_millis(20);
/// A stream from which no level has come for so long is silent.
const IDLE: Duration = Duration::from_millis(40);

/// Bands of a level: the counts of the immediate time go up to this.
const BANDS: usize = 13;
/// Immediate ones in a medium one.
const IMMEDIATE_IN_MEDIUM: usize = 5;
/// Medium ones in a long one.
const MEDIUM_IN_LONG: usize = 10;
/// Levels that are kept: a long one's.
const SAMPLES: usize = IMMEDIATE_IN_MEDIUM * MEDIUM_IN_LONG;
/// The loudest level.
const MAX_LEVEL: u8 = 127;
/// How wide a band is.
const BAND: u8 = MAX_LEVEL.div_ceil(BANDS as u8);
/// More bands than these make an immediate one active.
const ACTIVE_BANDS: u8 = 7;
/// More active immediate ones than these make a medium one active.
const ACTIVE_IMMEDIATE: u8 = 4;

/// What the logarithms of the ratios of the scores must exceed, immediate, medium, long.
const CLEARLY: [f64; 3] = [3.0, 2.0, 0.0];
/// Scores are no lower, so that they have ratios.
const MIN_SCORE: f64 = 1e-10;

/// Levels after which the noise floor may rise: 15 s.
const FLOOR_WINDOW: u32 = 750;

/// Tells who speaks, when that changes.
#[derive(Debug)]
pub struct ActiveSpeaker {
    interval: Duration,
    speakers: Slab<Speaker>,
    dominant: Option<usize>,
    /// `None` while it is paused.
    deadline: Option<Instant>,
    event: Option<usize>,
}

impl ActiveSpeaker {
    /// An observer of no streams that decides each `interval`, the first time that long from now.
    pub fn new(now: Instant, interval: Duration) -> ActiveSpeaker {
        ActiveSpeaker { interval, speakers: Slab::new(), dominant: None, deadline: Some(now + interval), event: None }
    }

    /// From now on a further stream is observed, by the key that is returned. While it is paused, it can't become dominant.
    pub fn add(&mut self, now: Instant, paused: bool) -> usize {
        self.speakers.insert(Speaker::new(now, paused))
    }

    /// A stream is observed no more. If it was the dominant one, another is chosen at once.
    pub fn remove(&mut self, key: usize) {
        self.speakers.try_remove(key);
        if self.dominant == Some(key) {
            self.dominant = None;
            self.event = None;
            self.decide();
        }
    }

    /// A stream is paused, or goes on.
    pub fn set_stream_paused(&mut self, key: usize, paused: bool) {
        if let Some(speaker) = self.speakers.get_mut(key) {
            speaker.paused = paused;
        }
    }

    /// A packet with a level has come. Counts nothing while the observer is paused.
    pub fn handle_level(&mut self, now: Instant, key: usize, level: AudioLevel) {
        if self.deadline.is_some()
            && let Some(speaker) = self.speakers.get_mut(key)
        {
            speaker.add_level(now, MAX_LEVEL - level.level.min(MAX_LEVEL));
        }
    }

    /// Stops.
    pub fn pause(&mut self) {
        self.deadline = None;
    }

    /// Goes on.
    pub fn resume(&mut self, now: Instant) {
        self.deadline = Some(now + self.interval);
    }

    /// Decides, if the time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline = Some(now + self.interval);
        for (_, speaker) in &mut self.speakers {
            if now.saturating_duration_since(speaker.last_level) > IDLE {
                speaker.add_level(now, 0);
            }
        }
        self.decide();
    }

    /// The stream that has become dominant, once.
    pub fn poll_event(&mut self) -> Option<usize> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while it is paused.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn decide(&mut self) {
        // Someone is dominant before anyone has spoken.
        let mut candidates = self.speakers.iter().filter(|(_, speaker)| !speaker.paused);
        let Some(incumbent) = self.dominant.or_else(|| candidates.next().map(|(key, _)| key)) else { return };
        let winner = self.challenger(incumbent).unwrap_or(incumbent);
        if self.dominant.replace(winner) != Some(winner) {
            self.event = Some(winner);
        }
    }

    /// Who beats the dominant one, by most in the medium time if several do.
    fn challenger(&self, incumbent: usize) -> Option<usize> {
        let own = self.speakers.get(incumbent)?.scores();
        let others = self.speakers.iter().filter(|(key, speaker)| *key != incumbent && !speaker.paused);
        let margins = others.map(|(key, speaker)| {
            let scores = speaker.scores();
            (key, [0, 1, 2].map(|time| (scores[time] / own[time]).ln()))
        });
        margins
            .filter(|(_, margin)| margin.iter().zip(CLEARLY).all(|(margin, clearly)| *margin > clearly))
            .max_by(|(_, one), (_, other)| one[1].total_cmp(&other[1]))
            .map(|(key, _)| key)
    }
}

/// One stream.
#[derive(Debug)]
struct Speaker {
    paused: bool,
    /// The latest levels, 0 (silence) to 127: a ring.
    levels: [u8; SAMPLES],
    /// Where the next level goes.
    next: usize,
    last_level: Instant,
    floor: Floor,
}

impl Speaker {
    fn new(now: Instant, paused: bool) -> Speaker {
        Speaker { paused, levels: [0; SAMPLES], next: 0, last_level: now, floor: Floor::default() }
    }

    /// Takes a level for as many samples as time has passed since the last one: packets may be longer, and few of them
    /// may come while nobody speaks.
    fn add_level(&mut self, now: Instant, level: u8) {
        let samples = now.saturating_duration_since(self.last_level).as_millis() / SAMPLE.as_millis();
        self.last_level = now;
        for _ in 0..samples.clamp(1, SAMPLES as u128) {
            self.levels[self.next] = level;
            self.next = (self.next + 1) % SAMPLES;
        }
        self.floor.add_level(level);
    }

    /// The scores of the three times up to now.
    fn scores(&self) -> [f64; 3] {
        let floor = self.floor.level.saturating_add(BAND);
        let bands = |level: u8| if level < floor { 0 } else { level / BAND };
        // The latest first.
        let mut immediate = [0; SAMPLES];
        for (age, immediate) in immediate.iter_mut().enumerate() {
            *immediate = bands(self.levels[(self.next + SAMPLES - 1 - age) % SAMPLES]);
        }
        let mut medium = [0; MEDIUM_IN_LONG];
        for (medium, immediate) in medium.iter_mut().zip(immediate.chunks(IMMEDIATE_IN_MEDIUM)) {
            *medium = count_above(immediate, ACTIVE_BANDS);
        }
        [
            score(immediate[0], BANDS as u8, 0.78),
            score(medium[0], IMMEDIATE_IN_MEDIUM as u8, 24.0),
            score(count_above(&medium, ACTIVE_IMMEDIATE), MEDIUM_IN_LONG as u8, 47.0),
        ]
    }
}

fn count_above(counts: &[u8], bound: u8) -> u8 {
    counts.iter().filter(|count| **count > bound).count() as u8
}

/// How much likelier it is that someone who speaks has `active` of `all` than that someone silent has: the logarithm of a
/// binomial distribution (of probability one half) over an exponential one (of parameter `lambda`).
fn score(active: u8, all: u8, lambda: f64) -> f64 {
    let ways: f64 = (0..active).map(|taken| f64::from(all - taken) / f64::from(taken + 1)).product();
    let speech = ways.ln() + f64::from(all) * 0.5_f64.ln();
    let silence = lambda.ln() - lambda * f64::from(active);
    (speech - silence).max(MIN_SCORE)
}

/// The noise that a microphone has when nobody speaks.
#[derive(Debug, Default)]
struct Floor {
    /// 0 while it is unknown.
    level: u8,
    /// The lowest level of the window, which is higher than the floor.
    lowest: u8,
    /// Levels in the window.
    count: u32,
}

impl Floor {
    /// It falls at once, and rises half way (in the geometric mean) when a window had nothing lower.
    fn add_level(&mut self, level: u8) {
        if level == 0 {
            return;
        }
        if self.level == 0 || level < self.level {
            *self = Floor { level, ..Floor::default() };
            return;
        }
        self.lowest = if self.count == 0 { level } else { self.lowest.min(level) };
        self.count += 1;
        if self.count >= FLOOR_WINDOW {
            // Of two levels, so again one.
            let mean = (f64::from(self.level) * f64::from(self.lowest)).sqrt() as u8;
            *self = Floor { level: mean, ..Floor::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(300);

    /// Time that the tests move: each step is a packet of 20 ms on all streams.
    struct Room {
        now: Instant,
        observer: ActiveSpeaker,
        keys: Vec<usize>,
        heard: Vec<usize>,
    }

    impl Room {
        fn new(streams: usize) -> Room {
            let now = Instant::now();
            let mut observer = ActiveSpeaker::new(now, INTERVAL);
            let keys = (0..streams).map(|_| observer.add(now, false)).collect();
            Room { now, observer, keys, heard: Vec::new() }
        }

        /// Lets time pass with these levels, in dBov without the sign; none for no packets.
        fn pass(&mut self, time: Duration, levels: &[Option<u8>]) {
            let end = self.now + time;
            while self.now < end {
                self.now += SAMPLE;
                for (key, level) in self.keys.iter().zip(levels) {
                    if let Some(level) = *level {
                        self.observer.handle_level(self.now, *key, AudioLevel { voice: true, level });
                    }
                }
                self.observer.handle_timeout(self.now);
                self.heard.extend(self.observer.poll_event());
            }
        }

        /// Whom it has told since the last time, by number.
        fn heard(&mut self) -> Vec<usize> {
            let heard = std::mem::take(&mut self.heard);
            heard.iter().map(|key| self.keys.iter().position(|known| known == key).expect("a stream of it")).collect()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const SPEECH: Option<u8> = Some(20);
    const QUIET: Option<u8> = Some(110);

    #[test]
    fn the_only_one_is_dominant_even_in_silence() {
        let mut room = Room::new(1);
        room.pass(INTERVAL, &[QUIET]);
        assert_eq!(room.heard(), [0]);
        room.pass(3 * SECOND, &[SPEECH]);
        assert_eq!(room.heard(), [0; 0], "told once");
    }

    #[test]
    fn who_speaks_becomes_dominant_within_a_second_and_stays_so_in_silence() {
        let mut room = Room::new(3);
        room.pass(5 * SECOND, &[QUIET, QUIET, QUIET]);
        assert_eq!(room.heard(), [0]);
        room.pass(SECOND, &[QUIET, QUIET, SPEECH]);
        assert_eq!(room.heard(), [2]);
        room.pass(5 * SECOND, &[QUIET, QUIET, QUIET]);
        assert_eq!(room.heard(), [0; 0]);
        room.pass(SECOND, &[QUIET, SPEECH, QUIET]);
        assert_eq!(room.heard(), [1]);
    }

    #[test]
    fn a_door_that_slams_is_nobody() {
        let mut room = Room::new(2);
        room.pass(2 * SECOND, &[QUIET, QUIET]);
        room.pass(5 * SECOND, &[SPEECH, QUIET]);
        room.heard();
        for _ in 0..20 {
            room.pass(SAMPLE, &[SPEECH, Some(0)]);
            room.pass(SECOND, &[SPEECH, QUIET]);
        }
        assert_eq!(room.heard(), [0; 0]);
    }

    #[test]
    fn the_louder_of_two_who_speak_does_not_take_over() {
        let mut room = Room::new(2);
        room.pass(2 * SECOND, &[QUIET, QUIET]);
        room.pass(2 * SECOND, &[Some(30), QUIET]);
        room.heard();
        room.pass(5 * SECOND, &[Some(30), Some(10)]);
        assert_eq!(room.heard(), [0; 0]);
        room.pass(SECOND, &[QUIET, Some(10)]);
        assert_eq!(room.heard(), [1], "until the other one stops");
    }

    #[test]
    fn a_stream_without_packets_is_silent() {
        let mut room = Room::new(2);
        room.pass(2 * SECOND, &[QUIET, QUIET]);
        room.pass(2 * SECOND, &[SPEECH, QUIET]);
        room.heard();
        room.pass(2 * SECOND, &[None, SPEECH]);
        assert_eq!(room.heard(), [1]);
    }

    #[test]
    fn steady_noise_is_no_speech() {
        let mut room = Room::new(2);
        // A fan that would reach eight of the bands: the floor is found at once.
        room.pass(20 * SECOND, &[QUIET, Some(45)]);
        assert_eq!(room.heard(), [0]);
        room.pass(2 * SECOND, &[QUIET, Some(10)]);
        assert_eq!(room.heard(), [1], "speech over it is");
    }

    #[test]
    fn another_is_chosen_at_once_when_the_dominant_one_leaves() {
        let mut room = Room::new(3);
        room.pass(2 * SECOND, &[QUIET, QUIET, QUIET]);
        room.pass(2 * SECOND, &[SPEECH, QUIET, Some(30)]);
        room.heard();
        room.observer.remove(room.keys[0]);
        let next = room.observer.poll_event().expect("somebody else");
        assert_eq!(next, room.keys[2], "who speaks too");
        for key in [room.keys[2], room.keys[1]] {
            room.observer.remove(key);
        }
        room.observer.poll_event();
        room.pass(SECOND, &[]);
        assert_eq!(room.heard, [0; 0], "nobody is left");
    }

    #[test]
    fn paused_streams_and_a_paused_observer() {
        let mut room = Room::new(2);
        room.pass(2 * SECOND, &[QUIET, QUIET]);
        room.heard();
        room.observer.set_stream_paused(room.keys[1], true);
        room.pass(2 * SECOND, &[QUIET, SPEECH]);
        assert_eq!(room.heard(), [0; 0]);
        room.observer.set_stream_paused(room.keys[1], false);
        room.observer.pause();
        assert_eq!(room.observer.poll_timeout(), None);
        room.pass(2 * SECOND, &[QUIET, SPEECH]);
        assert_eq!(room.heard(), [0; 0]);
        room.observer.resume(room.now);
        room.pass(2 * SECOND, &[QUIET, SPEECH]);
        assert_eq!(room.heard(), [1]);
    }

    #[test]
    fn scores_rise_with_activity() {
        for (all, lambda) in [(13, 0.78), (5, 24.0), (10, 47.0)] {
            let scores: Vec<f64> = (0..=all).map(|active| score(active, all, lambda)).collect();
            assert!(scores.iter().all(|score| score.is_finite() && *score >= MIN_SCORE));
            assert!(scores.windows(2).all(|pair| pair[0] <= pair[1]) || lambda < 1.0, "{scores:?}");
        }
    }
}
